import { ThinError } from '../errors/thin-error.js';
import type { LayeredImage } from './layered-image.js';
import { tarMembers, type TarMember } from './tar-members.js';

const WHITEOUT = '.wh.';
/** Zeroes that umoci may write for the holes of sparse members, bytes. */
const MOST_HOLES = 64 * 2 ** 20;

/**
 * Looks at the members of all layers before a tool unpacks any. Errors: damaged (a name that leads out of the
 * root, or removes what holds it), unsupported (sparse members, which would be unpacked as zeroes), no-space
 * (a member does not fit).
 * @param free bytes where they are to be unpacked
 */
export async function requireSoundLayers({ layers }: LayeredImage, free: number): Promise<void> {
  for (const { file, digest, gzipped } of layers) {
    let holes = 0;
    for await (const member of tarMembers(file, gzipped)) {
      requireSoundName(member, digest);
      if (member.size > free) throw tooLarge(member, free);
      holes += Math.max(0, member.size - member.stored);
      if (holes > MOST_HOLES)
        throw new ThinError(
          'unsupported',
          `layer ${digest} has the sparse member ${JSON.stringify(member.name)} of ${member.size} bytes, which would be written out as zeroes; make a tar of the root filesystem and import that`,
          { details: { member: member.name } },
        );
    }
  }
}

function requireSoundName({ name }: TarMember, digest: string): void {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  const removed = parts
    .filter((part) => part.startsWith(WHITEOUT))
    .map((part) => part.slice(WHITEOUT.length));
  if (!parts.includes('..') && !removed.some((part) => ['', '.', '..'].includes(part))) return;
  throw new ThinError(
    'damaged',
    `layer ${digest} has a member ${JSON.stringify(name)}, which leads out of its folder; do not trust this image`,
    { details: { member: name } },
  );
}

/** Errors: no-space. */
function tooLarge({ name, size }: TarMember, free: number): ThinError {
  return new ThinError(
    'no-space',
    `${JSON.stringify(name)} has ${size} bytes, and ${free} are free; take a larger device (--size, --base-size)`,
    { details: { member: name } },
  );
}

/**
 * Whether members of a tar lie below a symbolic link of it, as `var/run/x` behind `var/run -> /run`. GNU tar
 * unpacks no such member. Errors: no-space (a member does not fit into the `free` bytes, which are only told
 * so when they are full).
 */
export async function leadsThroughLinks(file: string, gzipped: boolean, free: number): Promise<boolean> {
  const links = new Set<string>();
  let leads = false;
  for await (const member of tarMembers(file, gzipped)) {
    if (member.stored > free) throw tooLarge(member, free);
    const parts = member.name.split('/').filter((part) => part !== '' && part !== '.');
    leads ||= links.size > 0 && parts.some((_, at) => at > 0 && links.has(parts.slice(0, at).join('/')));
    if (member.isLink) links.add(parts.join('/'));
  }
  return leads;
}

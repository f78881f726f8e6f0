import { parseDeviceSize } from '../config/limits.js';
import { ThinError } from '../errors/thin-error.js';
import { MOUNT_MODES, type MountMode } from './mount-mode.js';
import type { Labels } from './snapshot-record.js';

/** containerd hands labels of this prefix down from who asks for the snapshot. */
const OURS = 'containerd.io/snapshot/thinfuse.';
const MOUNTS = `${OURS}mounts`;
const SIZE = `${OURS}size`;
/**
 * Not asked but told. Its prefix is none that containerd hands down, so it never comes back with another
 * call.
 */
export const LACKS = 'thinfuse.lacks';
/** containerd's own names (core/snapshots/snapshotter.go). */
const MAX_SIZE = 'containerd.io/snapshot/max-size';
const UID_MAPPING = 'containerd.io/snapshot/uidmapping';
const GID_MAPPING = 'containerd.io/snapshot/gidmapping';
export const REF = 'containerd.io/snapshot.ref';

const MAPPING = /^\d{1,10}:\d{1,10}:\d{1,10}(,\d{1,10}:\d{1,10}:\d{1,10})*$/;

/** What the labels of a snapshot ask of the snapshotter. */
export interface Asked {
  readonly mounts: MountMode | undefined;
  /** Bytes that its filesystem may hold. */
  readonly size: number | undefined;
  /** Ids in the container, on the host, and how many (containerd's `userns.IDMap`). */
  readonly mapping: { readonly uids: string; readonly gids: string } | undefined;
  /** The chain id of the layer that is to be unpacked into it. */
  readonly ref: string | undefined;
}

/**
 * Labels of other programs are theirs. @throws ThinError invalid-argument: one of ours is not known, or has a
 * value without a meaning
 */
export function askedBy(labels: Labels): Asked {
  const unknown = Object.keys(labels).find((key) => key.startsWith(OURS) && key !== MOUNTS && key !== SIZE);
  if (unknown !== undefined)
    throw new ThinError('invalid-argument', `there is no label ${unknown}; there are ${MOUNTS} and ${SIZE}`);
  const of = (key: string): string | undefined => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  const uids = of(UID_MAPPING);
  const gids = of(GID_MAPPING);
  if ((uids === undefined) !== (gids === undefined))
    throw new ThinError('invalid-argument', `${UID_MAPPING} and ${GID_MAPPING} go together; give both`);
  return {
    mounts: mountsOf(of(MOUNTS)),
    size: sizeOf(of(SIZE), of(MAX_SIZE)),
    mapping:
      uids === undefined || gids === undefined
        ? undefined
        : { uids: mapping(UID_MAPPING, uids), gids: mapping(GID_MAPPING, gids) },
    ref: of(REF),
  };
}

function mountsOf(value: string | undefined): MountMode | undefined {
  if (value === undefined) return undefined;
  const found = MOUNT_MODES.find((mode) => mode === value);
  if (found !== undefined) return found;
  throw new ThinError(
    'invalid-argument',
    `${MOUNTS}: ${JSON.stringify(value)} is not ${MOUNT_MODES.join(' or ')}`,
  );
}

function sizeOf(own: string | undefined, theirs: string | undefined): number | undefined {
  if (own !== undefined) return parseDeviceSize(own, SIZE);
  if (theirs === undefined) return undefined;
  // Bytes, and no unit.
  const bytes = Number(theirs);
  if (/^\d+$/.test(theirs) && Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new ThinError(
    'invalid-argument',
    `${MAX_SIZE}: ${JSON.stringify(theirs)} is not a number of bytes; write 10737418240 for 10 GiB`,
  );
}

function mapping(label: string, value: string): string {
  if (MAPPING.test(value)) return value;
  throw new ThinError(
    'invalid-argument',
    `${label}: ${JSON.stringify(value)} is not a mapping; it has CONTAINER-ID:HOST-ID:COUNT, several with commas`,
  );
}

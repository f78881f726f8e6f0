import { ThinError } from '../errors/thin-error.js';
import type { MountRow } from '../format/mount-info.js';
import { isBelow, MountTable } from './mount-table.js';

/** Filesystems of the kernel's own, in which a folder stands for something else than files. */
const PSEUDO = new Set([
  'autofs',
  'binfmt_misc',
  'bpf',
  'cgroup',
  'cgroup2',
  'configfs',
  'debugfs',
  'devpts',
  'devtmpfs',
  'efivarfs',
  'fusectl',
  'mqueue',
  'proc',
  'pstore',
  'securityfs',
  'sysfs',
  'tracefs',
]);

/**
 * Refuses a place that a filesystem would be mounted on and do harm. `target` is absolute, without symbolic
 * links; it need not be there.
 * @throws ThinError invalid-argument (the top folder; in the kernel's own filesystems, such as /proc; in
 *   /dev)
 */
export async function requireMountPlace(target: string): Promise<void> {
  const why = unsuitable(target, await MountTable.read());
  if (why === undefined) return;
  throw new ThinError('invalid-argument', `${target} ${why}; choose a folder of its own to mount on`, {
    details: { target },
  });
}

function unsuitable(target: string, table: MountTable): string | undefined {
  if (target === '/') return 'is the top of all folders';
  const around = surrounding(target, table);
  if (around === undefined) return undefined;
  if (PSEUDO.has(around.type)) return `is in ${around.target}, which is the kernel's own (${around.type})`;
  // Of a container it is often a tmpfs.
  return around.target === '/dev' ? 'is among the devices' : undefined;
}

/** What is mounted on the folder or the nearest one above it. */
function surrounding(target: string, table: MountTable): MountRow | undefined {
  let found: MountRow | undefined;
  for (const row of table.rows)
    if (isBelow(target, row.target) && row.target.length >= (found?.target.length ?? 0)) found = row;
  return found;
}

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import type { Scratch } from './mounts.js';

/**
 * Of unshare(1): what others unmount goes in the new namespace, too, where the root is shared, as
 * scripts/test.sh makes it. A copy that stayed would be a user of whatever the tests beside this one have
 * mounted.
 */
export const OWN_MOUNTS = ['--mount', '--propagation', 'slave'] as const;

/** A private tmpfs, below which no unmount is heard of. */
const HOLD =
  'mount -t tmpfs held "$1" && mkdir "$1/held" && mount --bind "$0" "$1/held" && echo held && exec sleep 600';

/** A process that has the mount on `target` in a mount namespace of its own, until it ends. */
export async function holdInNamespace(scratch: Scratch, target: string): Promise<ChildProcess> {
  const place = await scratch.folder('elsewhere');
  const holder = scratch.start('unshare', [...OWN_MOUNTS, 'sh', '-c', HOLD, target, place], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert(holder.stdout !== null);
  const [said] = (await Promise.race([once(holder.stdout, 'data'), once(holder, 'exit')])) as [unknown];
  assert.equal(String(said), 'held\n');
  return holder;
}

import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

/**
 * Lets the xfs on a loop device shut down where a metadata write fails; by default xfs tries again for ever
 * (Documentation/admin-guide/xfs.rst, error handling). It need not be mounted yet: mount(2) has the setting
 * before it replays the log. A kernel without the setting is left alone.
 */
export async function failXfsOnErrors(loop: string): Promise<void> {
  const folder = `/sys/fs/xfs/${path.basename(loop)}/error/metadata`;
  for (const kind of ['EIO', 'default'])
    await writeFile(`${folder}/${kind}/max_retries`, '0').catch(() => undefined);
}

/** As `failXfsOnErrors`, of the loop device that a mount(8) was given. */
export async function failXfsOfMount(pid: number): Promise<void> {
  const words = (await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')).split('\0');
  const loop = words.find((word) => /^\/dev\/loop\d+$/.test(word));
  if (loop !== undefined) await failXfsOnErrors(loop);
}

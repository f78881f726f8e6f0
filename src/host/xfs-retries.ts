import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';

/** Documentation/admin-guide/xfs.rst, error handling. */
function retriesOf(loop: string, kind: 'EIO' | 'ENOSPC' | 'default'): string {
  return `/sys/fs/xfs/${path.basename(loop)}/error/metadata/${kind}/max_retries`;
}

/**
 * Lets the xfs on a loop device shut down where a metadata write fails: the device of a daemon that died
 * answers with errors for ever, and a mount, a freeze or a writer that waits for such a write, as xfs does by
 * default, would never end. It need not be mounted yet: mount(2) has the setting before it replays the log. A
 * kernel without the setting is left alone.
 */
export async function failXfsOnErrors(loop: string): Promise<void> {
  for (const kind of ['EIO', 'default'] as const)
    await writeFile(retriesOf(loop, kind), '0').catch(() => undefined);
}

/** As `failXfsOnErrors`, of the loop device that a mount(8) was given. */
export async function failXfsOfMount(pid: number): Promise<void> {
  const words = (await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')).split('\0');
  const loop = words.find((word) => /^\/dev\/loop\d+$/.test(word));
  if (loop !== undefined) await failXfsOnErrors(loop);
}

/**
 * How often a mounted xfs tries a metadata write again that found no space; 0 = it shuts down at once, -1 =
 * it waits for ever, which is xfs's own default (`dm.xfs_nospace_max_retries`). Errors: unsupported (no such
 * setting in this kernel).
 */
export async function setNospaceRetries(loop: string, retries: number): Promise<void> {
  const file = retriesOf(loop, 'ENOSPC');
  try {
    await writeFile(file, String(retries));
  } catch (error) {
    throw new ThinError(
      'unsupported',
      `${file} cannot be set to ${retries}, so a full pool could make the filesystem on ${loop} hang; mount /sys for writing (in a container: --privileged)`,
      { cause: error, details: { path: file } },
    );
  }
}

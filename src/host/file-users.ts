import { readdir, readlink } from 'node:fs/promises';
import { until } from '../async/until.js';
import { ThinError } from '../errors/thin-error.js';

const PATIENCE_MS = 10_000;
const POLL_MS = 20;

/** Processes beside this one that have the file open, as far as /proc shows them. */
async function usersOf(file: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const fds = await readdir(`/proc/${name}/fd`).catch(() => []);
    for (const fd of fds) {
      if ((await readlink(`/proc/${name}/fd/${fd}`).catch(() => '')) !== file) continue;
      found.push(pid);
      break;
    }
  }
  return found;
}

/** A tool of a daemon that died may still be at work on the file. @throws ThinError busy */
export async function waitForOthers(file: string): Promise<void> {
  let users: readonly number[] = [];
  const unused = async (): Promise<boolean> => (users = await usersOf(file)).length === 0;
  if (await until(unused, { limitMs: PATIENCE_MS, pollMs: POLL_MS })) return;
  throw new ThinError('busy', `${file} is in use by process ${users.join(', ')}; end that first`, {
    details: { path: file },
  });
}

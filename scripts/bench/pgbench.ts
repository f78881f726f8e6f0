import { chmod, chown, mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './host.js';
import { PGBENCH_CLIENTS, PGBENCH_SCALE } from './jobs.js';
import type { Scale } from './run.js';

/** Where Debian puts the programs of each version. */
const VERSIONS = '/usr/lib/postgresql';
const UMOUNT_TRIES = 300;
const UMOUNT_PAUSE_MS = 100;
/** The log goes round on a device of a GiB. */
const SETTINGS = "-c listen_addresses='' -c max_wal_size=128MB -c min_wal_size=80MB -c wal_recycle=on";

/**
 * Transactions a second of pgbench's own kind, in a database on an xfs that is made on the device.
 * @param folder where it is mounted meanwhile
 */
export async function runPgbench(device: string, folder: string, { seconds }: Scale): Promise<number> {
  const programs = path.join(VERSIONS, await newest(), 'bin');
  const mounted = path.join(folder, 'pgbench');
  const data = path.join(mounted, 'data');
  await mkdir(mounted);
  // Another user than root goes through them.
  for (const each of [path.dirname(folder), folder]) await chmod(each, 0o711);
  await run('mkfs.xfs', ['-q', '-f', '-K', device]);
  await run('mount', ['-t', 'xfs', device, mounted]);
  const { uid, gid } = await idsOf(USER);
  const asUser = (program: string, ...args: readonly string[]): Promise<string> =>
    run('setpriv', [
      ...[`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'],
      path.join(programs, program),
      ...args,
    ]);
  try {
    await mkdir(data, { mode: 0o700 });
    await chown(data, uid, gid);
    await asUser('initdb', '-D', data, '-A', 'trust', '--no-sync', '--no-locale', '-E', 'UTF8');
    await asUser(
      'pg_ctl',
      '-D',
      data,
      '-w',
      '-l',
      path.join(data, 'log'),
      '-o',
      `${SETTINGS} -k ${data}`,
      'start',
    );
    try {
      await asUser('pgbench', '-h', data, '-i', '-q', '-s', String(PGBENCH_SCALE), 'postgres');
      const told = await asUser(
        'pgbench',
        ...['-h', data, '-c', String(PGBENCH_CLIENTS), '-j', '2', '-T', String(seconds), 'postgres'],
      );
      const tps = Number(/^tps = ([\d.]+)/m.exec(told)?.[1]);
      if (Number.isNaN(tps)) throw new Error(`pgbench printed no figure: ${told.slice(-200)}`);
      return tps;
    } finally {
      await asUser('pg_ctl', '-D', data, '-w', '-m', 'immediate', 'stop');
    }
  } finally {
    await umountIdle(mounted);
  }
}

/** The server's last processes outlive its pid file, which pg_ctl(1) waits for. */
async function umountIdle(mounted: string): Promise<void> {
  for (let left = UMOUNT_TRIES; ; left--)
    try {
      await run('umount', [mounted]);
      return;
    } catch (error) {
      if (left === 0 || !String(error).includes('busy')) throw error;
      await sleep(UMOUNT_PAUSE_MS);
    }
}

const USER = 'postgres';

async function idsOf(user: string): Promise<{ uid: number; gid: number }> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const [, , uid, gid] = lines.find(([name]) => name === user) ?? [];
  if (uid === undefined || gid === undefined) throw new Error(`there is no user ${user}`);
  return { uid: Number(uid), gid: Number(gid) };
}

async function newest(): Promise<string> {
  const versions = await readdir(VERSIONS).catch(() => []);
  const found = versions.sort((a, b) => Number(a) - Number(b)).at(-1);
  if (found === undefined) throw new Error("pgbench and Debian's postgresql could not be had");
  return found;
}

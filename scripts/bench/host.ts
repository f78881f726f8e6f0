import { execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 5;
const PATIENCE_MS = 60_000;
const OUTPUT_BYTES = 64 * 2 ** 20;

/** Resolves to standard output. Rejects with what the command said. */
export async function run(
  command: string,
  args: readonly string[],
  { timeoutMs = PATIENCE_MS * 10, env }: { timeoutMs?: number; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      command,
      args,
      { timeout: timeoutMs, maxBuffer: OUTPUT_BYTES, env: { ...process.env, ...env } },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`${path.basename(command)}: ${oneLine(stderr) || error.message}`));
      },
    );
  });
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, '; ');
}

export async function waitFor(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await sleep(POLL_MS);
  }
}

/** Starts what stays in the foreground; its pid file says when it serves. */
export async function startServer(
  command: string,
  args: readonly string[],
  pidFile: string,
): Promise<number> {
  // A signal to the suite's group must not reach it: it would unmount below a loop device, whose file then
  // has no path to find it by.
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const state = { ended: false };
  child.once('error', (error) => {
    said = error.message;
    state.ended = true;
  });
  child.once('exit', () => (state.ended = true));
  await waitFor(`${command} serves`, () => state.ended || pidIn(pidFile) !== undefined);
  const pid = pidIn(pidFile);
  if (state.ended || pid === undefined) throw new Error(`${command}: ${oneLine(said) || 'it ended at once'}`);
  child.unref();
  return pid;
}

export function pidIn(file: string): number | undefined {
  const pid = existsSync(file) ? Number(readFileSync(file, 'utf8').trim()) : 0;
  return pid > 0 ? pid : undefined;
}

/** Ends a process of ours and waits until it is gone. */
export async function endProcess(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    return;
  }
  await waitFor(`process ${pid} ends`, () => !existsSync(`/proc/${pid}`));
}

/**
 * A loop device with direct I/O. Rejects where the file's filesystem has none: the figures would be the page
 * cache's.
 */
export async function attach(file: string): Promise<string> {
  const device = (await run('losetup', ['--find', '--show', '--direct-io=on', file])).trim();
  if (readFileSync(`/sys/block/${path.basename(device)}/loop/dio`, 'utf8').trim() !== '1') {
    await detach(device);
    throw new Error(`the loop device on ${file} has no direct I/O`);
  }
  return device;
}

export async function detach(device: string): Promise<void> {
  await run('losetup', ['--detach', device]);
  await waitFor(`${device} is free`, () => !existsSync(`/sys/block/${path.basename(device)}/loop`));
}

/** Files with a filesystem, mounted through loop devices. */
export class LoopMounts {
  readonly #folder: string;
  readonly #mounted = new Map<string, { loop: string; target: string }>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  async mount(name: string, file: string): Promise<void> {
    const target = path.join(this.#folder, name);
    await mkdir(target, { recursive: true });
    const loop = await attach(file);
    this.#mounted.set(name, { loop, target });
    // A clone has its origin's UUID.
    await run('mount', ['-t', 'xfs', '-o', 'nouuid', loop, target]);
  }

  async umount(name: string): Promise<void> {
    const mounted = this.#mounted.get(name);
    if (mounted === undefined) return;
    this.#mounted.delete(name);
    if (isMountPoint(mounted.target)) await run('umount', [mounted.target]);
    await detach(mounted.loop);
  }

  async umountAll(): Promise<void> {
    for (const name of [...this.#mounted.keys()]) await this.umount(name);
  }
}

export function isMountPoint(folder: string): boolean {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[1] === folder);
}

/** A sparse file with an empty xfs. */
export async function makeXfs(file: string, size: number, ...options: readonly string[]): Promise<void> {
  await run('truncate', ['--size', String(size), file]);
  await run('mkfs.xfs', ['-q', '-f', ...options, file]);
}

const KIB_PER_MIB = 1024;

/** Of all the processes together, in MiB. */
export function memoryOf(pids: readonly number[]): { rss: number; pss: number } {
  const sum = { rss: 0, pss: 0 };
  for (const pid of pids) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    sum.rss += Number(/^Rss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / KIB_PER_MIB;
    sum.pss += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / KIB_PER_MIB;
  }
  return sum;
}

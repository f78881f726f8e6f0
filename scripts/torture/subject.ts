import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { appendFile, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SocketClient } from '../../src/api/client.js';
import type { DeviceStatus } from '../../src/api/operations.js';
import { mounts, run, tryRun } from '../../test/support/mounts.js';
import type { TortureOptions } from './options.js';

/** Milliseconds after which something counts as hanging: far more than it takes on a loaded machine. */
const PATIENCE = 90_000;
const POLL = 5;
/** As `thinfuse start` gives its daemon. */
const ENVIRONMENT = { ...process.env, UV_THREADPOOL_SIZE: '16' };

export interface SubjectOptions extends Pick<TortureOptions, 'pool' | 'transport'> {
  /** Everything lies below it. */
  readonly folder: string;
  /** How the CLI is started. */
  readonly cli: readonly string[];
}

/** The pool that is tortured, and its daemon, from outside. */
export class Subject {
  readonly root: string;
  readonly client: SocketClient;
  readonly #options: SubjectOptions;
  /** What image files' names begin with; a loop device shows it also where the folder's mount is gone. */
  #imagePrefix = '';

  constructor(options: SubjectOptions) {
    this.#options = options;
    this.root = path.join(options.folder, 'root');
    this.client = new SocketClient(path.join(this.root, 'thinfuse.sock'), { timeoutMs: PATIENCE });
  }

  async init(): Promise<void> {
    const data = this.#options.pool === 'direct' ? path.join(this.#options.folder, 'data.img') : 'leveldb';
    await this.#cli('init', '--data', data, '--data-size', '2G', '--base-size', '512M');
  }

  async start(): Promise<void> {
    await this.#cli('start', '--transport', this.#options.transport);
  }

  /** Begins to start, and is killed `milliseconds` after that. */
  async startAndKill(milliseconds: number): Promise<void> {
    const [command = '', ...before] = this.#options.cli;
    const { root, transport } = { root: this.root, ...this.#options };
    const log = await open(path.join(root, 'thinfuse.log'), 'a');
    try {
      const args = [...before, '--root', root, 'start', '--foreground', '--transport', transport];
      const child = spawn(command, args, { stdio: ['ignore', log.fd, log.fd], env: ENVIRONMENT });
      const gone = exited(child);
      await Promise.race([sleep(milliseconds), gone]);
      if (child.exitCode !== null)
        throw new Error(`the daemon ended by itself while it started, with ${child.exitCode}`);
      child.kill('SIGKILL');
      await inTime('the killed daemon is gone', gone);
    } finally {
      await log.close();
    }
  }

  async stop(): Promise<void> {
    await this.#cli('stop');
  }

  async kill(): Promise<void> {
    const pid = await this.#pid();
    process.kill(pid, 'SIGKILL');
    await inTime('the killed daemon is gone', gone(pid));
  }

  /** By force, whatever state it is in; for the end of a campaign that failed. */
  async abandon(): Promise<void> {
    const pid = await this.#pid().catch(() => 0);
    if (pid > 0 && readText(`/proc/${pid}/cmdline`).includes(this.root)) process.kill(pid, 'SIGKILL');
  }

  async devices(): Promise<ReadonlyMap<string, DeviceStatus>> {
    const all = await this.client.call('device.list', {});
    return new Map(all.map((device) => [device.name, device]));
  }

  /** @returns the image file */
  async activate(name: string): Promise<string> {
    const { path: image } = await this.client.call('activate', { name });
    this.#imagePrefix ||= path.basename(image).slice(0, -name.length);
    return image;
  }

  /** What `check` finds, in words. */
  async findings(): Promise<readonly string[]> {
    const { findings, needsCheck } = await this.client.call('pool.check', {});
    const found = findings.map((finding) => JSON.stringify(finding));
    return needsCheck ? [...found, 'needs_check is set'] : found;
  }

  /** The same by the command, with no daemon. */
  async offlineFindings(): Promise<readonly string[]> {
    const { code, stdout, stderr } = await this.#tryCli('check');
    return code === 0 ? [] : [`${stdout}${stderr}`];
  }

  /** Mounts and loop devices of the pool, but for the folder of image files. */
  async leftovers(): Promise<readonly string[]> {
    const devices = path.join(this.root, 'dev');
    const mounted = (await mounts())
      .filter(({ target }) => target !== devices && target.startsWith(`${this.root}/`))
      .map(({ target }) => `mount ${target}`);
    const loops = readdirSync('/sys/block')
      .filter((name) => name.startsWith('loop'))
      .filter((name) => this.#isOurs(readText(`/sys/block/${name}/loop/backing_file`).trim()))
      .map((name) => `loop device ${name}`);
    return [...mounted, ...loops];
  }

  async logTail(): Promise<string> {
    const text = await readFile(path.join(this.root, 'thinfuse.log'), 'utf8').catch(() => '');
    return text.split('\n').slice(-15).join('\n');
  }

  async note(text: string): Promise<void> {
    await appendFile(path.join(this.root, 'thinfuse.log'), `--- ${text}\n`);
  }

  #isOurs(backingFile: string): boolean {
    if (backingFile.startsWith(`${this.root}/`)) return true;
    return this.#imagePrefix !== '' && path.basename(backingFile).startsWith(this.#imagePrefix);
  }

  async #pid(): Promise<number> {
    return Number(await readFile(path.join(this.root, 'thinfuse.pid'), 'utf8'));
  }

  #cli(...args: readonly string[]): Promise<string> {
    const [command = '', ...before] = this.#options.cli;
    return run(command, [...before, '--root', this.root, ...args], { limitMs: PATIENCE, env: process.env });
  }

  #tryCli(...args: readonly string[]): ReturnType<typeof tryRun> {
    const [command = '', ...before] = this.#options.cli;
    return tryRun(command, [...before, '--root', this.root, ...args], {
      limitMs: PATIENCE,
      env: process.env,
    });
  }
}

/** @throws Error that says what hangs */
export async function inTime<T>(what: string, work: Promise<T>): Promise<T> {
  const late = new AbortController();
  const timer = sleep(PATIENCE, undefined, { signal: late.signal }).then(() => {
    throw new Error(`it hangs: ${what}\n${stuckProcesses().join('\n')}`);
  });
  timer.catch(() => undefined);
  try {
    return await Promise.race([work, timer]);
  } finally {
    late.abort();
  }
}

function exited(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

/** Who waits in the kernel, and where: what a report of something that hangs needs. */
function stuckProcesses(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => readThreads(pid).map((thread) => `/proc/${pid}/task/${thread}`))
    .filter((folder) => readText(`${folder}/stat`).replace(/^.*\)/, ')').startsWith(') D '))
    .map((folder) => `${folder} ${readText(`${folder}/comm`).trim()}: ${calls(readText(`${folder}/stack`))}`);
}

function readThreads(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function calls(stack: string): string {
  return [...stack.matchAll(/\] (\w+)/g)]
    .slice(0, 8)
    .map(([, name]) => name)
    .join(' < ');
}

/** A zombie has let go of everything. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    const text = readText(`/proc/${pid}/stat`);
    if (text === '' || text[text.lastIndexOf(')') + 2] === 'Z') return;
    await sleep(POLL);
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

import { execFile, spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { access, constants, copyFile, mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from './eventually.js';

/** What every mount test needs; a test asks for more by name. */
const BASIC_TOOLS = ['losetup', 'mount', 'umount'];
/** A command that takes longer hangs on a dead mount; generous, because machines differ. */
const COMMAND_LIMIT_MS = 300_000;
const SWEEP_LIMIT_MS = 30_000;

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Call inside `describe`: its tests fail where FUSE, loop devices, root or one of `tools` are missing, and
 * are skipped only when THINFUSE_TEST_SKIP_MOUNTS=1 says so.
 */
export function requireMounts(tools: readonly string[] = []): void {
  before('FUSE, loop devices and tools are there', async function () {
    if (process.env['THINFUSE_TEST_SKIP_MOUNTS'] === '1') return this.skip();
    const missing: string[] = [];
    if (process.getuid?.() !== 0) missing.push('root');
    for (const device of ['/dev/fuse', '/dev/loop-control'])
      await access(device, constants.R_OK | constants.W_OK).catch(() => missing.push(device));
    for (const tool of [...BASIC_TOOLS, ...tools]) if (!(await hasTool(tool))) missing.push(tool);
    if (missing.length > 0)
      throw new Error(`mount tests need ${missing.join(', ')}; THINFUSE_TEST_SKIP_MOUNTS=1 leaves them out`);
  });
}

export async function hasTool(name: string): Promise<boolean> {
  const folders = (process.env['PATH'] ?? '').split(':').filter((folder) => folder !== '');
  for (const folder of [...folders, '/usr/sbin', '/sbin'])
    if (
      await access(path.join(folder, name), constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return true;
  return false;
}

/**
 * Runs a program without blocking this process (which may serve the mount that the program touches). Never
 * rejects for its exit code.
 */
export function tryRun(
  command: string,
  args: readonly string[],
  options: { input?: string | Uint8Array; limitMs?: number; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      [...args],
      {
        encoding: 'utf8',
        maxBuffer: 64 * 1024 * 1024,
        timeout: options.limitMs ?? COMMAND_LIMIT_MS,
        killSignal: 'SIGKILL',
        ...(options.env === undefined ? {} : { env: options.env }),
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      },
      (error, stdout, stderr) => {
        if (error === null) resolve({ code: 0, stdout, stderr });
        else if (typeof error.code === 'number') resolve({ code: error.code, stdout, stderr });
        else if (error.killed === true || error.signal != null)
          resolve({ code: -1, stdout, stderr: `${stderr}\n${command}: ended by ${error.signal}` });
        else reject(error);
      },
    );
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input);
  });
}

/** As `tryRun`; rejects, with what the program said, unless it exits with 0. Returns its standard output. */
export async function run(
  command: string,
  args: readonly string[],
  options: Parameters<typeof tryRun>[2] = {},
): Promise<string> {
  const done = await tryRun(command, args, options);
  if (done.code === 0) return done.stdout;
  throw new Error(`${[command, ...args].join(' ')} ended with ${done.code}\n${done.stdout}${done.stderr}`);
}

/**
 * A fresh folder and everything that hangs on it. `clean` runs the deferred steps (last first), ends started
 * processes, unmounts, detaches loop devices and removes the folder, whatever failed before; it rejects only
 * if something is left.
 */
export class Scratch {
  readonly root: string;
  readonly #steps: (() => unknown)[] = [];
  /** With what was behind each when it was attached: a device that went may be somebody else's by now. */
  readonly #loops = new Map<string, string>();
  readonly #children = new Set<ChildProcess>();

  constructor(root: string) {
    this.root = root;
  }

  static async create(): Promise<Scratch> {
    return new Scratch(await mkdtemp(path.join(tmpdir(), 'thinfuse-test-')));
  }

  /** A new empty folder below the root. */
  async folder(name = 'folder'): Promise<string> {
    return mkdtemp(path.join(this.root, `${name}-`));
  }

  /** A path below the root; nothing is made. */
  at(...parts: string[]): string {
    return path.join(this.root, ...parts);
  }

  /** `step` runs at clean-up, before anything is unmounted by force. */
  defer(step: () => unknown): void {
    this.#steps.push(step);
  }

  /** losetup; returns /dev/loopN. */
  async attach(file: string, options: { directIo?: boolean; readOnly?: boolean } = {}): Promise<string> {
    const args = ['--find', '--show', `--direct-io=${options.directIo === false ? 'off' : 'on'}`];
    if (options.readOnly === true) args.push('--read-only');
    const loop = (await run('losetup', [...args, file])).trim();
    this.#loops.set(loop, await behindLoop(loop));
    return loop;
  }

  async detach(loop: string): Promise<void> {
    await run('losetup', ['--detach', loop]);
    this.#loops.delete(loop);
  }

  /** Mounts on a new folder below the root and returns it. */
  async mount(device: string, type: string, options: string[] = []): Promise<string> {
    const target = await this.folder('mnt');
    await run('mount', [
      '-t',
      type,
      ...(options.length > 0 ? ['-o', options.join(',')] : []),
      device,
      target,
    ]);
    return target;
  }

  async unmount(target: string): Promise<void> {
    await run('umount', [target]);
  }

  /** Starts a program that clean-up ends if it still runs. */
  start(
    command: string,
    args: readonly string[],
    options: { stdio?: StdioOptions; env?: NodeJS.ProcessEnv; cwd?: string } = {},
  ): ChildProcess {
    const child = spawn(command, [...args], { stdio: 'ignore', ...options });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Ends a process that `start` started, and waits until it is gone. */
  async stop(child: ChildProcess): Promise<void> {
    await end(child);
  }

  async clean(): Promise<void> {
    const problems: unknown[] = [];
    const attempt = async (step: () => unknown): Promise<void> => {
      try {
        await step();
      } catch (error) {
        problems.push(error);
      }
    };
    for (const step of this.#steps.splice(0).reverse()) await attempt(step);
    for (const child of this.#children) await attempt(() => end(child));
    await attempt(() => this.#sweep());
    await attempt(() => rm(this.root, { recursive: true, force: true }));
    if (problems.length > 0) throw new AggregateError(problems, `${this.root} could not be cleaned up`);
  }

  /**
   * Filesystems on loops first, then the loops, then what serves their files: the other order would leave
   * them hanging.
   */
  async #sweep(): Promise<void> {
    for (const loop of await loopsUnder(this.root)) this.#loops.set(loop, await behindLoop(loop));
    const ours = new Set<string>();
    for (const [loop, file] of this.#loops) if (isSameFile(file, await behindLoop(loop))) ours.add(loop);
    const upper = (await mounts()).filter(
      (mount) => ours.has(mount.source) || (this.#holds(mount.target) && !mount.type.startsWith('fuse')),
    );
    for (const mount of upper.reverse()) await forceUnmount(mount.target);
    for (const [loop, file] of this.#loops)
      if (isSameFile(file, await behindLoop(loop)))
        await tryRun('losetup', ['--detach', loop], { limitMs: SWEEP_LIMIT_MS });
    this.#loops.clear();
    for (const mount of (await mounts()).filter(({ target }) => this.#holds(target)).reverse())
      await forceUnmount(mount.target);
    // The kernel lets a loop device go when its last opener has closed it: udev, or a lazy unmount.
    let left = await this.#left();
    await eventually(
      'nothing is mounted or attached',
      async () => (left = await this.#left()).length === 0,
    ).catch((cause: unknown) => {
      throw new Error(`still there after clean-up: ${left.join(', ')}`, { cause });
    });
  }

  async #left(): Promise<readonly string[]> {
    return [
      ...(await mounts()).filter(({ target }) => this.#holds(target)).map(({ target }) => target),
      ...(await loopsUnder(this.root)),
    ];
  }

  #holds(target: string): boolean {
    return target === this.root || target.startsWith(`${this.root}/`);
  }
}

/** Call inside `describe`: a scratch root for its tests, made before the first and cleaned after the last. */
export function useScratch(): { readonly current: Scratch } {
  let scratch: Scratch | undefined;
  before('make a scratch root', async () => {
    scratch = await Scratch.create();
    await mkdir(scratch.root, { recursive: true });
  });
  after('clean the scratch root', async function () {
    this.timeout(2 * COMMAND_LIMIT_MS);
    await scratch?.clean();
  });
  return {
    get current() {
      if (scratch === undefined) throw new Error('the scratch root exists only while tests run');
      return scratch;
    },
  };
}

export interface Mounted {
  readonly target: string;
  readonly source: string;
  readonly type: string;
}

/** What is mounted, oldest first. */
export async function mounts(): Promise<Mounted[]> {
  const text = await readFile('/proc/self/mountinfo', 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [before = '', behind = ''] = line.split(' - ');
      const [type = '', source = ''] = behind.split(' ');
      return { target: unescape(before.split(' ')[4] ?? ''), source: unescape(source), type };
    });
}

/** Loop devices whose file lies (or lay) below `root`. */
export async function loopsUnder(root: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir('/sys/block')) {
    if (!name.startsWith('loop')) continue;
    const file = await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '');
    if (file.startsWith(`${root}/`)) found.push(`/dev/${name}`);
  }
  return found;
}

/** Path of the file behind a loop device; empty: it is free. */
async function behindLoop(loop: string): Promise<string> {
  const file = await readFile(`/sys/block/${path.basename(loop)}/loop/backing_file`, 'utf8').catch(() => '');
  return file.trimEnd().replace(/ \(deleted\)$/, '');
}

/** Of a file whose filesystem nobody mounts any more the kernel tells the path in there. */
function isSameFile(attached: string, now: string): boolean {
  return now !== '' && (now === attached || now === `/${path.basename(attached)}`);
}

function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** `-f` aborts a FUSE connection that nobody serves, so that `-l` cannot leave a process hanging on it. */
async function forceUnmount(target: string): Promise<void> {
  if ((await tryRun('umount', [target], { limitMs: SWEEP_LIMIT_MS })).code === 0) return;
  if ((await tryRun('umount', ['-l', target], { limitMs: SWEEP_LIMIT_MS })).code === 0) return;
  await tryRun('umount', ['-f', '-l', target], { limitMs: SWEEP_LIMIT_MS });
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => {
      resolve();
    });
    child.kill('SIGKILL');
  });
}

/** A program of this host into a root's `bin`, with the libraries that it needs. */
export async function copyProgram(tool: string, root: string): Promise<void> {
  await copyFile(`/bin/${tool}`, `${root}/bin/${tool}`);
  for (const [library] of (await run('ldd', [`/bin/${tool}`])).matchAll(/\/\S+/g)) {
    await mkdir(path.dirname(root + library), { recursive: true });
    await copyFile(library, root + library);
  }
}

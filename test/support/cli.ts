import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OperationName, Operations } from '../../src/api/operations.js';
import { SocketClient } from '../../src/api/client.js';
import { tryRun, type Finished, type Scratch } from './mounts.js';

const TOP = path.resolve(import.meta.dirname, '../..');
const ENTRY = path.join(TOP, 'src/cli/main.ts');
const LOADER = path.join(TOP, 'node_modules/tsx/dist/loader.mjs');
/** Two minutes: far more than a slow machine takes. */
const GONE_POLLS = 2400;
const GONE_POLL_MS = 50;

/** As test.sh has just built it, in a third of the time that the sources take to start. */
export const BUILT = process.env['THINFUSE_TEST_BUILT'];

/**
 * How to start the CLI of this checkout, in whatever folder: from its sources, where nobody says that they
 * are built.
 */
export const CLI_COMMAND: readonly string[] = [
  process.execPath,
  ...(BUILT === undefined ? ['--import', LOADER, ENTRY] : [BUILT]),
];

/** The real command line on a root of its own; its daemon ends with the scratch folder. */
export class Cli {
  readonly root: string;
  readonly #command: readonly string[];

  constructor(scratch: Scratch, name = 'root', command = CLI_COMMAND) {
    this.root = scratch.at(name);
    this.#command = command;
    scratch.defer(() => this.#end());
  }

  /** Never rejects for the exit code. */
  try(...args: readonly string[]): Promise<Finished> {
    return this.tryWith({}, ...args);
  }

  tryWith(env: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<Finished> {
    const [command = '', ...before] = this.#command;
    return tryRun(command, [...before, ...args], {
      env: {
        ...process.env,
        THINFUSE_ROOT: this.root,
        TSX_TSCONFIG_PATH: path.join(TOP, 'tsconfig.json'),
        ...env,
      },
    });
  }

  /** Its words, for a shell; the root among them. */
  command(...args: readonly string[]): readonly string[] {
    return [...this.#command, '--root', this.root, ...args];
  }

  /** Standard output; rejects unless the exit code is 0. */
  async run(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.try(...args);
    if (code !== 0) throw new Error(`thinfuse ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  }

  async json<T>(...args: readonly string[]): Promise<T> {
    return JSON.parse(await this.run('--json', ...args)) as T;
  }

  /** An operation of the daemon that runs, without a process for it. */
  call<K extends OperationName>(name: K, input: Operations[K]['input']): Promise<Operations[K]['output']> {
    return new SocketClient(path.join(this.root, 'thinfuse.sock')).call(name, input);
  }

  async daemonPid(): Promise<number> {
    const pid = Number(await readFile(path.join(this.root, 'thinfuse.pid'), 'utf8'));
    // Zero, of a file that a failing disk emptied, would be this whole group.
    if (pid > 0) return pid;
    throw new Error(`${this.root} names no daemon`);
  }

  /** As a crash would. Resolves when the process is gone. */
  async kill(): Promise<void> {
    const pid = await this.daemonPid();
    process.kill(pid, 'SIGKILL');
    for (let poll = 0; isRunning(pid) && poll < GONE_POLLS; poll++) await sleep(GONE_POLL_MS);
  }

  /**
   * The daemon of a supervisor, which starts another. Resolves when that one serves.
   * @param known its pid, where it cannot be asked
   */
  async die(known?: number): Promise<void> {
    const pid = known ?? (await this.call('status', {})).pid;
    process.kill(pid, 'SIGKILL');
    for (let poll = 0; poll < GONE_POLLS; poll++) {
      const now = await this.call('status', {}).then(
        (status) => status.pid,
        () => pid,
      );
      if (now !== pid) return;
      await sleep(GONE_POLL_MS);
    }
    throw new Error(`nobody followed on the daemon ${pid}`);
  }

  /** The daemon's parent, which holds the connection for it. */
  async killSupervisor(): Promise<void> {
    process.kill(await supervisorOf(await this.daemonPid()), 'SIGKILL');
  }

  async #end(): Promise<void> {
    const pid = await this.daemonPid().catch(() => undefined);
    if (pid === undefined || !isRunning(pid)) return;
    await this.try('stop', '--force');
    if (isRunning(pid)) process.kill(pid, 'SIGKILL');
  }
}

/** A daemon's parent. */
export async function supervisorOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

import { fork, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import type { CliOrder, CliOutcome } from './cli-child.js';

const TOP = path.resolve(import.meta.dirname, '../..');

/**
 * Many command lines in one process, which spares each a second of loading: for commands that start no
 * daemon.
 */
export class CliSession {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (outcome: CliOutcome) => void>();
  #next = 0;

  constructor() {
    this.#child = fork(path.join(TOP, 'test/support/cli-child.ts'), [], {
      execArgv: ['--import', path.join(TOP, 'node_modules/tsx/dist/loader.mjs')],
      env: { ...process.env, TSX_TSCONFIG_PATH: path.join(TOP, 'tsconfig.json') },
    });
    this.#child.on('message', (outcome: CliOutcome) => {
      this.#waiting.get(outcome.number)?.(outcome);
      this.#waiting.delete(outcome.number);
    });
    this.#child.once('exit', () => {
      for (const [number, resolve] of this.#waiting)
        resolve({ number, code: -1, stdout: '', stderr: 'the process of the command lines is gone' });
    });
  }

  /** Of the process in which they all run. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  run(args: readonly string[]): Promise<CliOutcome> {
    return new Promise((resolve) => {
      const number = this.#next++;
      this.#waiting.set(number, resolve);
      this.#child.send({ number, args } satisfies CliOrder);
    });
  }

  async end(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.disconnect();
    await gone;
  }
}

/** Call inside `describe`: a session for its tests. */
export function useCliSession(): { on(root: string): SessionCli } {
  let session: CliSession | undefined;
  before('start a process for command lines', () => {
    session = new CliSession();
  });
  after('end it', () => session?.end());
  return { on: (root) => new SessionCli(session!, root) };
}

/** The command line on one root. */
export class SessionCli {
  readonly root: string;
  readonly #session: CliSession;

  constructor(session: CliSession, root: string) {
    this.#session = session;
    this.root = root;
  }

  /** Never rejects for the exit code. */
  try(...args: readonly string[]): Promise<CliOutcome> {
    return this.#session.run(['--root', this.root, ...args]);
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
}

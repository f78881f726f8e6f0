import { randomUUID } from 'node:crypto';
import { fork, type ChildProcess } from 'node:child_process';
import type { HostTool } from '../config/host-tools.js';
import { ThinError, type ThinErrorCode } from '../errors/thin-error.js';
import { ended } from './child-end.js';
import type { MountTask } from './mount-task.js';
import { programBeside } from './own-program.js';
import { EarlierTools, ownSession, TOOLS_OF, type ToolMark } from './tool-processes.js';
import { ChildProcessExec, requireKnown, type Exec, type ExecOptions, type ExecResult } from './exec.js';

/** What of `ExecOptions` can be told to another process. */
export type SentOptions = Pick<ExecOptions, 'cwd' | 'env' | 'input' | 'timeoutMs' | 'stallMs' | 'okCodes'>;

export type ToolRequest =
  | {
      readonly id: number;
      readonly tool: HostTool;
      readonly args: readonly string[];
      readonly options: SentOptions;
    }
  | { readonly id: number; readonly task: MountTask }
  | { readonly abort: number };

type AnsweredRequest = Exclude<ToolRequest, { readonly abort: number }>;

export type ToolReply =
  | { readonly id: number; readonly result: ExecResult }
  | {
      readonly id: number;
      readonly failure: { code: ThinErrorCode; message: string; details: ThinError['details'] };
    };

interface Pending {
  /** The process that got the request. */
  readonly server: ChildProcess;
  readonly resolve: (result: ExecResult) => void;
  readonly reject: (error: unknown) => void;
}

/** For the tools of a small process that is gone to end. */
const ORPHANS_MS = 60_000;

/**
 * Runs tools from a small process of its own. A fork copies the page tables of the process that asks for it
 * and stops all of its threads meanwhile: tens of milliseconds for a daemon with its caches, next to one for
 * this. Where the small process has died, the next call starts another. Where a call needs this process's
 * descriptors, or the server has ended, the tool is run from here. Where this process is gone, the small one
 * ends the tools that may be cut.
 */
export class ToolServer implements Exec {
  readonly #here: Exec;
  readonly #entry: URL;
  readonly #token = randomUUID();
  readonly #pending = new Map<number, Pending>();
  /** Of every small process there was. */
  readonly #sessions: number[] = [];
  #server: ChildProcess;
  #closed = false;
  #lastId = 0;
  #onSession: ((mark: ToolMark) => void) | undefined;

  private constructor(entry: URL) {
    this.#entry = entry;
    this.#here = new ChildProcessExec({ ...process.env, [TOOLS_OF]: this.#token });
    this.#server = this.#fork();
    this.#hold();
  }

  /** To be called while this process is small. It ends with this process, whatever ends that. */
  static start(entry = programBeside(import.meta.url, 'tool-server-entry')): ToolServer {
    return new ToolServer(entry);
  }

  /** Of the small process. */
  get pid(): number | undefined {
    return this.#server.pid;
  }

  /** Told now, and whenever it is another, by what the tools are known when this process is gone. */
  onMark(told: (mark: ToolMark) => void): void {
    this.#onSession = told;
    told(this.#mark());
  }

  #mark(): ToolMark {
    const own = ownSession();
    return { token: this.#token, sessions: own === undefined ? this.#sessions : [...this.#sessions, own] };
  }

  #fork(): ChildProcess {
    // A session of its own: what a terminal sends to its foreground process is not for an unmount that is
    // under way.
    const server = fork(this.#entry, {
      env: { ...process.env, [TOOLS_OF]: this.#token },
      detached: true,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    if (server.pid !== undefined) this.#sessions.push(server.pid);
    server.on('message', (message) => {
      this.#answer(message as ToolReply);
    });
    const gone = (): void => void this.#ended(server);
    server.once('error', gone);
    server.once('exit', gone);
    this.#onSession?.(this.#mark());
    return server;
  }

  /**
   * What it was asked to do may be done or not, so it is not done again; but nothing more of it happens once
   * the caller hears.
   */
  async #ended(server: ChildProcess): Promise<void> {
    const asked = [...this.#pending].flatMap(([id, pending]) => (pending.server === server ? [id] : []));
    const sessions = server.pid === undefined ? [] : [server.pid];
    await new EarlierTools([{ token: this.#token, sessions }]).end({ patienceMs: ORPHANS_MS });
    for (const id of asked)
      this.#settle(id)?.reject(
        new ThinError('tool-failed', 'the process that runs tools for the daemon has ended; try again'),
      );
  }

  /** Undefined: nothing runs tools but this process. */
  #live(): ChildProcess | undefined {
    if (!this.#server.connected && !this.#closed) this.#server = this.#fork();
    return this.#server.connected ? this.#server : undefined;
  }

  run(tool: HostTool, args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    requireKnown(tool);
    const { cwd, env, input, timeoutMs, stallMs, okCodes, signal, ...local } = options;
    if (Object.keys(local).length > 0 || this.#live() === undefined)
      return this.#here.run(tool, args, options);
    if (signal?.aborted === true) return this.#here.run(tool, args, options);
    const sent = Object.entries({ cwd, env, input, timeoutMs, stallMs, okCodes }).filter(
      ([, value]) => value !== undefined,
    );
    const id = ++this.#lastId;
    const abort = (): void => {
      this.#send({ abort: id });
    };
    signal?.addEventListener('abort', abort, { once: true });
    return this.#ask({ id, tool, args, options: Object.fromEntries(sent) }).finally(() =>
      signal?.removeEventListener('abort', abort),
    );
  }

  /** Resolves to the task's answer. @throws ThinError tool-failed, and what the task met */
  async perform(task: MountTask): Promise<string> {
    this.#live();
    const { stdout } = await this.#ask({ id: ++this.#lastId, task });
    return stdout;
  }

  /** Waits for nothing: tools under way go on. */
  close(): void {
    this.#closed = true;
    if (this.#server.connected) this.#server.disconnect();
  }

  /**
   * As `close`, and resolves when the small process has ended, unless a tool is still under way: until then
   * it keeps the log's filesystem busy.
   */
  async end(): Promise<void> {
    const server = this.#server;
    this.close();
    await ended(server);
  }

  #ask(request: AnsweredRequest): Promise<ExecResult> {
    return new Promise((resolve, reject) => {
      this.#pending.set(request.id, { server: this.#server, resolve, reject });
      this.#hold();
      this.#send(request);
    });
  }

  #send(request: ToolRequest): void {
    this.#server.send(request, (error) => {
      if (error !== null && 'id' in request)
        this.#settle(request.id)?.reject(
          new ThinError('tool-failed', `${nameOf(request)} could not be started: ${error.message}`, {
            cause: error,
            details: { tool: nameOf(request) },
          }),
        );
    });
  }

  #answer(reply: ToolReply): void {
    const pending = this.#settle(reply.id);
    if ('result' in reply) {
      pending?.resolve(reply.result);
      return;
    }
    const { code, message, details } = reply.failure;
    pending?.reject(new ThinError(code, message, { details }));
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    this.#hold();
    return pending;
  }

  /** A call that is under way keeps this process alive, the idle server does not. */
  #hold(): void {
    const { channel } = this.#server;
    if (this.#pending.size > 0) {
      this.#server.ref();
      channel?.ref();
    } else {
      this.#server.unref();
      channel?.unref();
    }
  }
}

function nameOf(request: AnsweredRequest): string {
  return 'tool' in request ? request.tool : request.task.kind;
}

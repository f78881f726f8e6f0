import { fork, type ChildProcess } from 'node:child_process';
import type { HostTool } from '../config/host-tools.js';
import { ThinError, type ThinErrorCode } from '../errors/thin-error.js';
import type { MountTask } from './mount-task.js';
import { ChildProcessExec, requireKnown, type Exec, type ExecOptions, type ExecResult } from './exec.js';

/** What of `ExecOptions` can be told to another process. */
export type SentOptions = Pick<ExecOptions, 'cwd' | 'env' | 'input' | 'timeoutMs' | 'okCodes'>;

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
  readonly resolve: (result: ExecResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs tools from a small process of its own. A fork copies the page tables of the process that asks for it and stops all of its threads
 * meanwhile: tens of milliseconds for a daemon with its caches, next to one for this. Where the small process is gone, or a call
 * needs this process's descriptors, the tool is run from here.
 */
export class ToolServer implements Exec {
  readonly #here: Exec;
  readonly #server: ChildProcess;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  private constructor(server: ChildProcess, here: Exec) {
    this.#server = server;
    this.#here = here;
    server.on('message', (message) => {
      this.#answer(message as ToolReply);
    });
    // What it was asked to do may be done or not, so it is not done again.
    const gone = (): void => {
      for (const id of [...this.#pending.keys()])
        this.#settle(id)?.reject(
          new ThinError('tool-failed', 'the process that runs tools for the daemon has ended; try again'),
        );
    };
    server.once('error', gone);
    server.once('exit', gone);
    this.#hold();
  }

  /** To be called while this process is small. It ends with this process, whatever ends that. */
  static start(entry = serverEntry()): ToolServer {
    // A session of its own: what a terminal sends to its foreground process is not for an unmount that is under way.
    const server = fork(entry, {
      detached: true,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    return new ToolServer(server, new ChildProcessExec());
  }

  /** Of the small process. */
  get pid(): number | undefined {
    return this.#server.pid;
  }

  run(tool: HostTool, args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    requireKnown(tool);
    const { cwd, env, input, timeoutMs, okCodes, signal, ...local } = options;
    if (!this.#server.connected || Object.keys(local).length > 0) return this.#here.run(tool, args, options);
    if (signal?.aborted === true) return this.#here.run(tool, args, options);
    const sent = Object.entries({ cwd, env, input, timeoutMs, okCodes }).filter(
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
    const { stdout } = await this.#ask({ id: ++this.#lastId, task });
    return stdout;
  }

  /** Waits for nothing: tools under way go on. */
  close(): void {
    if (this.#server.connected) this.#server.disconnect();
  }

  #ask(request: AnsweredRequest): Promise<ExecResult> {
    return new Promise((resolve, reject) => {
      this.#pending.set(request.id, { resolve, reject });
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

function serverEntry(): URL {
  return new URL(`./tool-server-entry${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);
}

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { isHostTool, type HostTool } from '../config/host-tools.js';
import { missingTool } from '../config/missing-tool.js';
import { ThinError, systemErrorCode } from '../errors/thin-error.js';
import { umaskOfUser } from './private-files.js';
import { killTree } from './process-tree.js';
import { ProgressWatch } from './progress-watch.js';

/** Enough for any listing that is parsed; what a tool prints beyond it is dropped. */
const MAX_CAPTURED_BYTES = 64 * 1024 * 1024;
/** stderr keeps its end: that is where a tool says why it gave up. */
const MAX_STDERR_BYTES = 64 * 1024;
const SHOWN_STDERR_LINES = 6;
/** Tools of the administrator live where a service's PATH may not look. */
const ADMIN_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

export interface ExecOptions {
  readonly cwd?: string;
  /** Added to this process's environment; LC_ALL=C is always set, because messages are parsed. */
  readonly env?: Readonly<Record<string, string>>;
  /** Written to the tool's standard input; nothing otherwise. */
  readonly input?: string | Uint8Array;
  /** A descriptor that becomes the tool's standard input or output, instead of `input` and of capturing. */
  readonly stdin?: number;
  readonly stdout?: number;
  /**
   * Milliseconds; the tool is killed, with what it started, and the call fails with `timeout`, also when the
   * tool cannot die (it hangs in the kernel).
   */
  readonly timeoutMs?: number;
  /**
   * Milliseconds in which the tool neither computes, reads nor writes; it is killed then, and the call fails
   * with `timeout`. For work that takes as long as it takes.
   */
  readonly stallMs?: number;
  /** Kills the tool and what it started; the call fails with `closed`. */
  readonly signal?: AbortSignal | undefined;
  /** Exit codes that are an answer and no failure; [0] unless given. */
  readonly okCodes?: readonly number[];
  /** Each complete line of standard error, as it comes. */
  readonly onStderrLine?: (line: string) => void;
  /** Each piece of standard output, as it comes; nothing is captured then. */
  readonly onStdout?: (piece: Buffer) => void;
}

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs host tools without blocking this process, which may itself serve the files that they touch. */
export interface Exec {
  /**
   * A tool that is not in the table of `host-tools.ts` is a programmer's error. Errors: `missing-tool`
   * (naming its package), `not-found` (no such `cwd`), `tool-failed` (the command line, how it ended and what
   * it said last; `details`: tool, exit or signal, stderr), `timeout`, `closed` (aborted).
   */
  run(tool: HostTool, args: readonly string[], options?: ExecOptions): Promise<ExecResult>;
}

export class ChildProcessExec implements Exec {
  readonly #env: NodeJS.ProcessEnv;
  readonly #folders: readonly string[];

  constructor(env: NodeJS.ProcessEnv = process.env) {
    this.#folders = toolFolders(env['PATH'] ?? '');
    this.#env = { ...env, LC_ALL: 'C', PATH: this.#folders.join(':') };
  }

  /**
   * A tool makes files with its user's umask. A shell gives it that one, because this process's own is not
   * only for the moment of a fork.
   */
  #commandOf(tool: HostTool, args: readonly string[]): [string, readonly string[]] {
    const umask = umaskOfUser();
    // A tool that is not there is not found by spawn, which says so.
    const isThere = this.#folders.some((folder) => existsSync(path.join(folder, tool)));
    if (umask === undefined || !isThere) return [tool, args];
    return ['sh', ['-c', `umask ${umask.toString(8)} && exec "$0" "$@"`, tool, ...args]];
  }

  run(tool: HostTool, args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    requireKnown(tool);
    return new Promise((resolve, reject) => {
      const child = spawn(...this.#commandOf(tool, args), {
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        env: { ...this.#env, ...options.env },
        stdio: [
          options.stdin ?? (options.input === undefined ? 'ignore' : 'pipe'),
          options.stdout ?? 'pipe',
          'pipe',
        ],
      });
      const stdout = new Captured(MAX_CAPTURED_BYTES);
      const stderr = new Captured(MAX_STDERR_BYTES);
      child.stdout?.on(
        'data',
        options.onStdout ??
          ((piece: Buffer) => {
            stdout.add(piece);
          }),
      );
      child.stderr?.on('data', (piece: Buffer) => {
        stderr.add(piece);
      });
      if (options.onStderrLine !== undefined) eachLine(child, options.onStderrLine);
      // A tool that ends without reading its input says why by its exit code; EPIPE adds nothing.
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(options.input);

      const fail = (error: ThinError): void => {
        done();
        if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
          killTree(child.pid);
        child.unref();
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.destroy();
        reject(error);
      };
      const aborted = (): void => {
        fail(
          new ThinError('closed', `${tool} was stopped: the operation was cancelled`, { details: { tool } }),
        );
      };
      const timer =
        options.timeoutMs === undefined
          ? undefined
          : setTimeout(() => {
              fail(timeoutError(tool, args, options.timeoutMs ?? 0));
            }, options.timeoutMs);
      const watch =
        options.stallMs === undefined || child.pid === undefined
          ? undefined
          : new ProgressWatch(child.pid, options.stallMs, () => {
              fail(stallError(tool, args, options.stallMs ?? 0));
            });
      const done = (): void => {
        watch?.stop();
        clearTimeout(timer);
        options.signal?.removeEventListener('abort', aborted);
      };
      if (options.signal?.aborted === true) {
        aborted();
        return;
      }
      options.signal?.addEventListener('abort', aborted, { once: true });

      child.once('error', (error) => {
        done();
        reject(spawnError(tool, options.cwd, error));
      });
      child.once('close', (code, signal) => {
        done();
        const said = stderr.text();
        if (code !== null && (options.okCodes ?? [0]).includes(code))
          resolve({ code, stdout: stdout.text(), stderr: said });
        else reject(toolError(tool, args, code ?? signal ?? 'unknown', said));
      });
    });
  }
}

/** Whether `error` is a tool's own failure, and its stderr matches. */
export function saidBy(error: unknown, pattern: RegExp): error is ThinError {
  return (
    error instanceof ThinError &&
    error.code === 'tool-failed' &&
    pattern.test(String(error.details['stderr'] ?? ''))
  );
}

/** The `tool-failed` error of a command line; `end` is its exit code or signal. */
export function toolError(
  tool: string,
  args: readonly string[],
  end: number | string,
  stderr: string,
): ThinError {
  const lines = stderr
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .slice(-SHOWN_STDERR_LINES);
  const how = typeof end === 'number' ? `failed with exit code ${end}` : `was ended by ${end}`;
  const said = lines.length === 0 ? 'it said nothing' : lines.join('; ');
  return new ThinError('tool-failed', `${commandLine(tool, args)} ${how}: ${said}`, {
    details: {
      tool,
      ...(typeof end === 'number' ? { exit: end } : { signal: end }),
      stderr: lines.join('\n'),
    },
  });
}

/** As a shell would take it, for people to try again by hand. */
export function commandLine(tool: string, args: readonly string[]): string {
  return [tool, ...args]
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

/** By its name in the table, which is what documents, packages and messages are made of. */
export function requireKnown(tool: HostTool): void {
  assert(isHostTool(tool), `${tool as string} is not in the table of src/config/host-tools.ts`);
}

function spawnError(tool: HostTool, cwd: string | undefined, error: Error): ThinError {
  const code = systemErrorCode(error);
  // The kernel says the same of both.
  if (code === 'ENOENT' && cwd !== undefined && !existsSync(cwd))
    return new ThinError('not-found', `the folder ${cwd} is not there, so that ${tool} cannot work in it`, {
      cause: error,
      details: { tool, path: cwd },
    });
  if (code === 'ENOENT') return missingTool(tool, error);
  if (code === 'EACCES' || code === 'EPERM')
    return new ThinError('permission', `${tool} may not be run (${code}); run as root`, {
      cause: error,
      details: { tool },
    });
  return new ThinError('tool-failed', `${tool} could not be started: ${error.message}`, {
    cause: error,
    details: { tool },
  });
}

function stallError(tool: string, args: readonly string[], stallMs: number): ThinError {
  return new ThinError(
    'timeout',
    `${commandLine(tool, args)} has done nothing for ${stallMs / 1000} s and was killed; the device below it may not answer (dmesg says more)`,
    { details: { tool, stallMs } },
  );
}

function timeoutError(tool: string, args: readonly string[], timeoutMs: number): ThinError {
  return new ThinError(
    'timeout',
    `${commandLine(tool, args)} did not end within ${timeoutMs / 1000} s and was killed; the device below it may not answer (dmesg says more)`,
    { details: { tool, timeoutMs } },
  );
}

/** Where tools are looked for, first to last, under this PATH. */
export function toolFolders(searchPath = process.env['PATH'] ?? ''): readonly string[] {
  const folders = searchPath.split(':').filter((folder) => folder !== '');
  return [...folders, ...ADMIN_FOLDERS.filter((folder) => !folders.includes(folder))];
}

function eachLine(child: ChildProcess, onLine: (line: string) => void): void {
  let rest = '';
  child.stderr?.on('data', (piece: Buffer) => {
    const lines = (rest + piece.toString('utf8')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  child.stderr?.once('end', () => {
    if (rest !== '') onLine(rest);
  });
}

/** Keeps the last `limit` bytes, give or take a piece. */
class Captured {
  readonly #limit: number;
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    while (this.#pieces.length > 1 && this.#bytes - (this.#pieces[0]?.length ?? 0) >= this.#limit)
      this.#bytes -= this.#pieces.shift()?.length ?? 0;
  }

  text(): string {
    return Buffer.concat(this.#pieces).toString('utf8');
  }
}

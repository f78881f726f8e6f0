import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { release } from 'node:os';
import { ThinError } from '../errors/thin-error.js';
import type { ConnectionState, KeptConnection } from '../fuse/connection.js';
import { holdMountNamespace } from '../fuse/mount-namespace.js';
import { removeHandover, hasHandover, readHandover } from './handover.js';
import { packError } from '../api/wire.js';
import type { Relay } from '../relay/relay.js';
import type { RootLayout } from '../config/root-layout.js';
import { LogFile, printsTo } from './log-file.js';
import { startMessage, type StartMessage } from './spawn-daemon.js';

/** Where a daemon finds the connection: behind its standard streams and its channel to the supervisor. */
const KEPT_DESCRIPTOR = 4;
/**
 * A daemon that served for less than this time, in milliseconds, and was not asked to make room for another,
 * has failed. After this many failures in a row, no daemon follows.
 */
const WORTH_FOLLOWING_MS = 1000;
const MOST_FAILURES = 3;
/** The first Linux with FUSE_NOTIFY_RESEND. */
const NEEDED: readonly [number, number] = [6, 9];
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** To the supervisor: close the connection, because it is to end. */
const RELEASE = 'release';
/** From it. */
const RELEASED = 'released';
/** To the supervisor: this daemon ends because it was asked to make room for another. */
const REPLACED = 'replaced';

export interface SuperviseRequest {
  readonly layout: RootLayout;
  /** The program that this process runs, and the arguments that make it a daemon on the kept connection. */
  readonly args: readonly string[];
  /** Tells the process that started this one how the first daemon began. */
  readonly notify: (message: StartMessage) => void;
  readonly say: (text: string) => void;
  /** Stand before the daemons. */
  readonly relays: readonly Relay[];
}

/**
 * Holds the connection to the kernel across daemons, and the sockets of other programs. When a daemon is
 * replaced or dies, starts the next one, which continues with its handover, or where that is damaged, begins
 * anew. If there is no handover, or daemons fail one after the other, closes the connection and the sockets,
 * so that users get an error at once and do not hang.
 * @returns the exit code of the last daemon
 * @throws ThinError unsupported (Linux before 6.9), missing-device, and those of `Relay.listen`
 */
export async function supervise(request: SuperviseRequest): Promise<number> {
  requireResend(release());
  const front = new Front(request.relays);
  try {
    await front.listen();
    return await follow(request, front);
  } catch (error) {
    request.notify({ failure: packError(error) });
    throw error;
  } finally {
    await front.close();
  }
}

async function follow({ layout, args, notify, say }: SuperviseRequest, front: Front): Promise<number> {
  removeHandover(layout);
  const log = printsTo(layout.log) ? new LogFile(layout.log) : undefined;
  const connection = new HeldConnection(log, front);
  const tell = (text: string): void => {
    if (log === undefined) say(text);
    else log.write(`thinfuse: ${text}\n`);
  };
  // Before the daemon hears of it, so that the next one prints into the new log, too.
  process.on('SIGHUP', () => log?.reopen());
  let current: ChildProcess | undefined;
  for (const signal of SIGNALS) process.on(signal, () => current?.kill(signal));
  for (let first = true, failures = 0; ; first = false) {
    current = connection.start(args);
    let servedSince: number | undefined;
    let isReplaced: boolean | undefined;
    current.on('message', (message) => {
      if (message === REPLACED) isReplaced = true;
      const parsed = startMessage.safeParse(message);
      if (!parsed.success) return;
      if ('ready' in parsed.data) servedSince = performance.now();
      if (first) notify(parsed.data);
    });
    const { code, signal } = await exitOf(current);
    const served = servedSince === undefined ? 0 : performance.now() - servedSince;
    failures = isReplaced === true || served >= WORTH_FOLLOWING_MS ? 0 : failures + 1;
    if (connection.isOpen && code !== 0 && hasHandover(layout) && failures < MOST_FAILURES) {
      const ended = `the daemon ended (${signal ?? `exit code ${code}`})`;
      if (readHandover(layout) !== undefined) tell(`${ended}; the next one goes on below its mounts`);
      else {
        connection.renew();
        removeHandover(layout);
        tell(`${ended}, and what it left is damaged or cut: the next one unmounts what it had mounted`);
      }
      continue;
    }
    connection.close();
    removeHandover(layout);
    if (code === 0) return 0;
    tell(
      `the daemon ended (${signal ?? `exit code ${code}`}) and no other one follows; its mounts fail from now on`,
    );
    return code ?? 1;
  }
}

/** All relays. */
class Front {
  readonly #relays: readonly Relay[];
  readonly #listening: Relay[] = [];
  #closing: Promise<unknown> | undefined;

  constructor(relays: readonly Relay[]) {
    this.#relays = relays;
  }

  async listen(): Promise<void> {
    for (const relay of this.#relays) {
      await relay.listen();
      this.#listening.push(relay);
    }
  }

  async close(): Promise<void> {
    await (this.#closing ??= Promise.allSettled(this.#listening.map((relay) => relay.close())));
  }
}

class HeldConnection {
  #fd = openSync('/dev/fuse', 'r+');
  readonly #log: LogFile | undefined;
  readonly #front: Front;
  #open = true;

  /**
   * @param log that daemons print into; undefined: where this process does
   * @param front ends with it
   */
  constructor(log: LogFile | undefined, front: Front) {
    this.#log = log;
    holdMountNamespace();
    this.#front = front;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** The mounts of the one before fail from now on. */
  renew(): void {
    closeSync(this.#fd);
    this.#fd = openSync('/dev/fuse', 'r+');
  }

  start(args: readonly string[]): ChildProcess {
    const output = this.#log?.descriptor ?? 'inherit';
    const daemon = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? '', ...args], {
      stdio: ['ignore', output, output, 'ipc', this.#fd],
    });
    daemon.on('message', (message) => {
      if (message !== RELEASE) return;
      this.close();
      // The sockets go before the daemon does, so that a caller of stop finds none.
      void this.#front.close().then(() => daemon.send(RELEASED, () => undefined));
    });
    return daemon;
  }

  close(): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }
}

/** The connection that a supervisor holds, on the side of its daemon. */
export function keptConnection(state: ConnectionState | undefined): KeptConnection {
  return {
    fd: KEPT_DESCRIPTOR,
    state,
    release: () =>
      new Promise((resolve) => {
        if (process.send === undefined || !process.connected) {
          resolve();
          return;
        }
        const done = (): void => {
          process.off('message', done).off('disconnect', done);
          resolve();
        };
        process.once('message', done).once('disconnect', done);
        process.send(RELEASE);
      }),
  };
}

/** Of a daemon, to its supervisor: the end of this process is no failure. */
export function tellReplaced(): void {
  process.send?.(REPLACED);
}

/** @throws ThinError unsupported */
export function requireResend(kernel: string): void {
  const [major = 0, minor = 0] = kernel.split('.').map(Number);
  if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) return;
  throw new ThinError(
    'unsupported',
    `Linux ${kernel} cannot give a second daemon the requests that the first one left unanswered; --supervised needs Linux ${NEEDED.join('.')}, so start without it`,
  );
}

function exitOf(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}

import type { Logger } from 'pino';
import { ThinError } from '../errors/thin-error.js';
import { answers } from '../host/private-socket.js';
import type { Adapter } from './adapter.js';
import type { AdapterCalls } from './adapter-calls.js';

/** How often devices are tried whose files were in use when their owner let go of them. */
const REAP_INTERVAL_MS = 10_000;

/** Listens on a unix socket of mode 0600. */
export interface PrivateServer {
  listen(): Promise<void>;
  /** Lets answers under way out, then removes the socket. */
  close(): Promise<void>;
}

export interface PoolAdapterParts {
  /** In the log. */
  readonly event: string;
  /** Absolute. */
  readonly socket: string;
  readonly server: PrivateServer;
  readonly calls: AdapterCalls;
  readonly log: Logger;
  readonly says: {
    /** The listener's name, with its article. */
    readonly who: string;
    readonly serving: string;
    readonly reapFailed: string;
  };
}

/**
 * A socket on which another program uses the pool through a protocol of its own, and what it leaves behind
 * for later.
 */
export abstract class PoolAdapter implements Adapter {
  readonly #parts: PoolAdapterParts;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: PoolAdapterParts) {
    this.#parts = parts;
  }

  async listen(): Promise<void> {
    const { event, socket, server, log, says } = this.#parts;
    if (await answers(socket))
      throw new ThinError(
        'already-running',
        `${says.who} already answers on ${socket}; stop it, or choose another socket`,
      );
    await this.takeOver();
    await server.listen();
    log.info({ event, socket }, `${says.serving} on ${socket}`);
    await this.#reap();
    this.#timer = setInterval(() => void this.#reap(), REAP_INTERVAL_MS).unref();
  }

  async pause(): Promise<void> {
    await this.#parts.calls.pause();
    await this.release();
  }

  resume(): void {
    this.#parts.calls.resume();
  }

  async close(): Promise<void> {
    void this.#parts.calls.pause();
    clearInterval(this.#timer);
    await this.#parts.server.close();
  }

  /** Goes on with what an earlier daemon left, before anything is asked. */
  protected takeOver(): Promise<void> {
    return Promise.resolve();
  }

  /** Tries again what was in use. */
  protected abstract reap(): Promise<void>;

  /** Gives up what only this process can hold open. */
  protected release(): Promise<void> {
    return Promise.resolve();
  }

  async #reap(): Promise<void> {
    const { event, calls, log, says } = this.#parts;
    if (calls.paused) return;
    await calls
      .counted(() => this.reap())
      .catch((error: unknown) => log.warn({ event, err: error }, says.reapFailed));
  }
}

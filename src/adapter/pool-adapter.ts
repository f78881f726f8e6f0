import type { Logger } from 'pino';
import { ThinError } from '../errors/thin-error.js';
import { answers } from '../host/private-socket.js';
import type { Adapter } from './adapter.js';
import type { ListenPlace } from '../host/listening.js';
import type { AdapterCalls } from './adapter-calls.js';

/** How often devices are tried whose files were still in use when their owner released them. */
const REAP_INTERVAL_MS = 10_000;

/** Where an adapter is reached. */
export interface AdapterPlace extends ListenPlace {
  /** A relay listens at `socket`, for this daemon and those before and after it. */
  readonly behind?: Behind | undefined;
}

export interface Behind {
  /** Absolute: where the relay looks for the daemon. */
  readonly socket: string;
  /** Resolves when the relay has ended, and the daemon has to be found at the place itself. */
  readonly lost: Promise<unknown>;
}

export interface PrivateServer {
  /** Once or more. Errors: io (the socket cannot be made there). */
  listen(place: ListenPlace): Promise<void>;
  /** Lets answers under way out, then removes the sockets that it made. */
  close(): Promise<void>;
}

export interface PoolAdapterParts {
  /** In the log. */
  readonly event: string;
  readonly place: AdapterPlace;
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
  #closed = false;

  constructor(parts: PoolAdapterParts) {
    this.#parts = parts;
  }

  async listen(): Promise<void> {
    const { event, place, server, log, says } = this.#parts;
    const { socket, descriptor, behind } = place;
    const own = behind?.socket ?? socket;
    if ((behind !== undefined || descriptor === undefined) && (await answers(own)))
      throw new ThinError(
        'already-running',
        `${says.who} already answers on ${own}; stop it, or choose another socket`,
      );
    await this.takeOver();
    await server.listen(behind ?? place);
    log.info({ event, socket }, `${says.serving} on ${socket}`);
    void behind?.lost.then(() => this.#standIn());
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
    this.#closed = true;
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

  /** The relay has ended before its daemon. */
  async #standIn(): Promise<void> {
    const { event, place, server, log } = this.#parts;
    if (this.#closed) return;
    await server
      .listen({ socket: place.socket })
      .catch((error: unknown) => log.error({ event, err: error }, `no process listens on ${place.socket}`));
  }

  async #reap(): Promise<void> {
    const { event, calls, log, says } = this.#parts;
    if (calls.paused) return;
    await calls
      .counted(() => this.reap())
      .catch((error: unknown) => log.warn({ event, err: error }, says.reapFailed));
  }
}

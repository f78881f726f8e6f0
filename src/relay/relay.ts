import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { InFlight } from '../async/in-flight.js';
import { ThinError } from '../errors/thin-error.js';
import { leavePlace, type ListenPlace } from '../host/listening.js';
import { answers } from '../host/private-socket.js';
import { requestBody } from './request-body.js';

/**
 * Listens for other programs in the place of a daemon that may die or be replaced. It passes each call on to
 * the daemon that serves, and asks the next one again where no answer came.
 */
export interface Relay {
  /** Errors: already-running (another process answers there), and failures to make a socket. */
  listen(): Promise<void>;
  /** No daemon follows: calls that wait are turned away, and the socket goes. */
  close(): Promise<void>;
}

/** Between two attempts to reach a daemon. Milliseconds. */
const RETRY_MS = 50;

/** What came of passing a call on once. */
export type Attempt<T> =
  | { readonly answer: T }
  /** `wasSent`: a daemon may have got it, and may have carried it out. */
  | { readonly answer?: undefined; readonly wasSent: boolean };

/**
 * Asks one daemon after the other until one answers.
 * @param attempt passes the call on; its number is 1 until a daemon may have got it
 * @returns undefined when `signal` ended the waiting
 */
export async function askUntilAnswered<T>(
  attempt: (number: number) => Promise<Attempt<T>>,
  signal: AbortSignal,
): Promise<T | undefined> {
  for (let number = 1; !signal.aborted;) {
    const { answer, ...left } = await attempt(number);
    if (answer !== undefined) return answer;
    if ('wasSent' in left && left.wasSent) number++;
    await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
  return undefined;
}

/** The calls that a relay has under way, and its end. */
export class RelayedCalls {
  readonly #underWay = new InFlight();
  readonly #closing = new AbortController();

  /**
   * Reads a request and hands it on; undefined: it has more than `limit` bytes. The signal is aborted when
   * the client is gone, or no daemon follows.
   */
  async pass(
    request: Readable,
    answered: NodeJS.EventEmitter,
    limit: number,
    answer: (body: Buffer | undefined, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const gone = new AbortController();
    answered.once('close', () => gone.abort());
    const body = await requestBody(request, limit);
    this.#underWay.enter();
    try {
      await answer(body, AbortSignal.any([gone.signal, this.#closing.signal]));
    } finally {
      this.#underWay.leave();
    }
  }

  /** No daemon follows. `hangUp` ends connections of clients, which would hold up the server for ever. */
  async close(
    server: { close(done: () => void): unknown },
    place: ListenPlace,
    hangUp: () => void | Promise<void>,
  ): Promise<void> {
    this.#closing.abort();
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    await this.#underWay.idle();
    await hangUp();
    await closed;
    await leavePlace(place);
  }
}

/** @throws ThinError already-running, naming `who` */
export async function requireUnanswered(socket: string, who: string): Promise<void> {
  if (await answers(socket))
    throw new ThinError(
      'already-running',
      `${who} already answers on ${socket}; stop it, or choose another socket`,
    );
}

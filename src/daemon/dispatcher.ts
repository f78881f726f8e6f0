import { ThinError } from '../errors/thin-error.js';
import type { Caller, OperationName, Operations } from './api.js';
import { parseInput } from './schemas.js';

export type Handlers = {
  readonly [K in OperationName]: (input: Operations[K]['input']) => Promise<Operations[K]['output']>;
};

/** What the daemon logs of each call that is over. */
export interface CallRecord {
  readonly operation: OperationName;
  readonly input: unknown;
  readonly milliseconds: number;
  readonly error: unknown;
}

/**
 * The one door to the handlers, for the socket and for calls in the same process: checks inputs, counts what is under way, and
 * turns new work away (`closed`) once `close` was called.
 */
export class Dispatcher implements Caller {
  readonly #handlers: Handlers;
  readonly #onCall: (record: CallRecord) => void;
  #underWay = 0;
  #closed = false;
  readonly #waiting = new Set<{ readonly least: number; readonly resume: () => void }>();

  constructor(handlers: Handlers, onCall: (record: CallRecord) => void = () => undefined) {
    this.#handlers = handlers;
    this.#onCall = onCall;
  }

  async call<K extends OperationName>(name: K, input: unknown): Promise<Operations[K]['output']> {
    if (this.#closed)
      throw new ThinError(
        'closed',
        `the daemon is stopping and takes no more work (${name}); start it again first`,
      );
    const began = performance.now();
    this.#underWay++;
    let error: unknown;
    try {
      return await this.#handlers[name](parseInput(name, input));
    } catch (thrown) {
      error = thrown;
      throw thrown;
    } finally {
      this.#underWay--;
      this.#onCall({ operation: name, input, milliseconds: performance.now() - began, error });
      for (const waiter of this.#waiting) if (this.#underWay <= waiter.least) waiter.resume();
    }
  }

  /** Takes no more calls and resolves when no more than `besides` are under way: those that wait for this themselves. */
  async close(besides = 0): Promise<void> {
    this.#closed = true;
    if (this.#underWay <= besides) return;
    await new Promise<void>((resolve) => {
      const waiter = {
        least: besides,
        resume: () => {
          this.#waiting.delete(waiter);
          resolve();
        },
      };
      this.#waiting.add(waiter);
    });
  }

  /** Takes calls again, after a stop that was given up. */
  reopen(): void {
    this.#closed = false;
  }
}

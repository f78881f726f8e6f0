import { InFlight } from '../async/in-flight.js';
import { ThinError } from '../errors/thin-error.js';
import type { Caller, OperationName, Operations, TextOperationName } from '../api/operations.js';
import type { TextHandlers } from './operations/text-operations.js';
import { parseInput, parseTextInput } from './schemas.js';

export type Handlers = {
  readonly [K in OperationName]: (input: Operations[K]['input']) => Promise<Operations[K]['output']>;
};

/** What the daemon logs of each call that is over. */
export interface CallRecord {
  readonly operation: OperationName | TextOperationName;
  readonly input: unknown;
  readonly milliseconds: number;
  readonly error: unknown;
}

/**
 * The one door to the handlers, for the socket and for calls in the same process: checks inputs, counts what
 * is under way, and turns new work away (`closed`) once `close` was called.
 */
export class Dispatcher implements Caller {
  readonly #handlers: Handlers;
  readonly #texts: TextHandlers;
  readonly #onCall: (record: CallRecord) => void;
  readonly #underWay = new InFlight();
  readonly #onClose = new Set<() => void>();
  #closed = false;

  constructor(
    handlers: Handlers,
    texts: TextHandlers,
    onCall: (record: CallRecord) => void = () => undefined,
  ) {
    this.#handlers = handlers;
    this.#texts = texts;
    this.#onCall = onCall;
  }

  async call<K extends OperationName>(name: K, input: unknown): Promise<Operations[K]['output']> {
    this.#requireOpen(name);
    const began = performance.now();
    this.#underWay.enter();
    let error: unknown;
    try {
      return await this.#handlers[name](parseInput(name, input));
    } catch (thrown) {
      error = thrown;
      throw thrown;
    } finally {
      this.#onCall({ operation: name, input, milliseconds: performance.now() - began, error });
      this.#underWay.leave();
    }
  }

  /**
   * A reader may take its time, so this is not waited for: a text that is not read to its end when `close` is
   * called breaks off.
   */
  async *text(name: TextOperationName, input: unknown): AsyncGenerator<string> {
    const began = performance.now();
    let error: unknown;
    try {
      this.#requireOpen(name);
      for await (const piece of told(this.#texts[name], name, input)) {
        this.#requireOpen(name);
        yield piece;
      }
    } catch (thrown) {
      error = thrown;
      throw thrown;
    } finally {
      this.#onCall({ operation: name, input, milliseconds: performance.now() - began, error });
    }
  }

  /**
   * Takes no more calls and resolves when no more than `besides` are under way: those that wait for this
   * themselves.
   */
  async close(besides = 0): Promise<void> {
    this.#closed = true;
    for (const leave of this.#onClose) leave();
    await this.#underWay.idle(besides);
  }

  /**
   * For a call that only waits for something that goes on without it: rejects with `closed` when `close` is
   * called.
   */
  async whileOpen<T>(work: Promise<T>): Promise<T> {
    let leave = (): void => undefined;
    const closed = new Promise<never>((_, reject) => {
      leave = () => reject(stopping('waiting'));
    });
    this.#onClose.add(leave);
    try {
      return await Promise.race([work, closed]);
    } finally {
      this.#onClose.delete(leave);
    }
  }

  /** Takes calls again, after a stop that was given up. */
  reopen(): void {
    this.#closed = false;
  }

  #requireOpen(name: string): void {
    if (this.#closed) throw stopping(name);
  }
}

function stopping(what: string): ThinError {
  return new ThinError(
    'closed',
    `the daemon is stopping and takes no more work (${what}); start it again first`,
  );
}

function told<K extends TextOperationName>(
  handler: TextHandlers[K],
  name: K,
  input: unknown,
): AsyncIterable<string> {
  return handler(parseTextInput(name, input));
}

import type { Logger } from 'pino';
import { InFlight } from '../async/in-flight.js';
import { ThinError, toThinError, type ThinErrorCode } from '../errors/thin-error.js';

export interface AdapterCallsParts {
  /** What a call is in the log. */
  readonly event: string;
  /** Methods that only look; they are logged at debug level. */
  readonly quiet: ReadonlySet<string>;
  /** Failures that the protocol's clients meet as a matter of course. */
  readonly expected: ReadonlySet<ThinErrorCode>;
  readonly log: Logger;
}

/**
 * The calls of an adapter's clients: each is counted, logged when it is over, and turned away while the
 * adapter pauses.
 */
export class AdapterCalls {
  readonly #parts: AdapterCallsParts;
  readonly #underWay = new InFlight();
  #paused = false;

  constructor(parts: AdapterCallsParts) {
    this.#parts = parts;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** @param read the request, as it is logged. Errors: closed; those of `read` and `work`, as ThinErrors */
  async run<R, T>(method: string, read: () => R, work: (request: R) => Promise<T>): Promise<T> {
    const began = performance.now();
    let request: R | undefined;
    let failure: ThinError | undefined;
    try {
      return await this.counted(async () => {
        request = read();
        return work(request);
      });
    } catch (error) {
      failure = toThinError(error);
      throw failure;
    } finally {
      this.#log({ method, request, ms: Math.round(performance.now() - began) }, failure);
    }
  }

  /** Work that `pause` waits for. Errors: closed. */
  async counted<T>(work: () => Promise<T>): Promise<T> {
    if (this.#paused)
      throw new ThinError('closed', 'the daemon is stopping and takes no more work; start it again first');
    this.#underWay.enter();
    try {
      return await work();
    } finally {
      this.#underWay.leave();
    }
  }

  /** Resolves when no call is under way. */
  async pause(): Promise<void> {
    this.#paused = true;
    await this.#underWay.idle();
  }

  resume(): void {
    this.#paused = false;
  }

  #log(call: { method: string; request: unknown; ms: number }, failure: ThinError | undefined): void {
    const { event, quiet, expected, log } = this.#parts;
    const fields = { event, ...call };
    if (failure === undefined) {
      if (quiet.has(call.method)) log.debug(fields);
      else log.info(fields);
      return;
    }
    const { code, message, stack } = failure;
    if (expected.has(code)) log.debug({ ...fields, code }, message);
    else log.warn({ ...fields, code, ...(code === 'internal' ? { stack } : {}) }, message);
  }
}

/**
 * How a relay (src/relay) marks the calls that it passes on, in headers. A daemon may have carried a call out
 * and died before it answered; its successor then gets the same call again, and has to answer as the first
 * would have.
 */
export const CALL_HEADER = 'thinfuse-call';
export const ATTEMPT_HEADER = 'thinfuse-attempt';

/** A call that outlives the daemon which got it first. */
export interface OutlivedCall {
  /** The same in each attempt, and no other call's. */
  readonly id: string;
  /** An earlier daemon got it, and may have carried it out. */
  readonly isRepeated: boolean;
}

/** Undefined: it came past every relay. */
export function outlivedCall(id: string | undefined, attempt: string | undefined): OutlivedCall | undefined {
  return id === undefined || id === '' ? undefined : { id, isRepeated: Number(attempt ?? 1) > 1 };
}

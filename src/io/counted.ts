import { POOL_SLOT, type Traffic, type TrafficKind } from '../threads/traffic.js';

/** A request on its way. */
export interface Request {
  /** It waited for a chunk to be read from the store. */
  missed: boolean;
}

/** Does a request on the pool thread, and counts it in each of `traffics` if it ends well. */
export function counted(
  traffics: readonly Traffic[],
  kind: TrafficKind,
  bytes: number,
  work: (request: Request) => Promise<void> | undefined,
): Promise<void> | undefined {
  const began = performance.now();
  const request = { missed: false };
  const end = (): void => {
    const took = performance.now() - began;
    for (const traffic of traffics) traffic.note(POOL_SLOT, kind, bytes, took, !request.missed);
  };
  const waiting = work(request);
  if (waiting !== undefined) return waiting.then(end);
  end();
  return undefined;
}

import { MAX_DATA } from './stream-format.js';

/** A range of a device, in bytes: `data` has to be read, `gone` reads as zeroes from now on. */
export interface Change {
  readonly kind: 'data' | 'gone';
  readonly begin: number;
  readonly end: number;
}

/**
 * The changes as a stream tells them, however they came: ascending, cut where the device ends, and data at
 * multiples of MAX_DATA, so that the same changes always make the same frames.
 * @param changes ascending, none over another
 */
export async function* framedChanges(changes: AsyncIterable<Change>, size: number): AsyncGenerator<Change> {
  let open: Change | undefined;
  for await (const { kind, begin, end } of changes) {
    if (open?.kind === kind && open.end === begin) open = { ...open, end };
    else {
      if (open !== undefined) yield* frames(open, size);
      open = { kind, begin, end };
    }
    // A device that is all data is one change.
    if (open.kind === 'data' && open.end - open.begin >= 2 * MAX_DATA) {
      const whole = open.end - (open.end % MAX_DATA);
      yield* frames({ ...open, end: whole }, size);
      open = { ...open, begin: whole };
    }
  }
  if (open !== undefined) yield* frames(open, size);
}

function* frames({ kind, begin, end }: Change, size: number): Generator<Change> {
  const last = Math.min(end, size);
  for (let at = begin; at < last;) {
    const next = kind === 'gone' ? last : Math.min(last, at - (at % MAX_DATA) + MAX_DATA);
    yield { kind, begin: at, end: next };
    at = next;
  }
}

import type { PlacedRun } from '../metadata/mapping-runs.js';

/** Blocks that `right` maps otherwise than `left`, or that `left` alone maps. */
export interface BlockChange {
  readonly kind: 'data' | 'gone';
  readonly begin: number;
  readonly length: number;
}

/** Ascending, as both are. What maps to one chunk in both is the same. */
export async function* runChanges(
  left: AsyncIterable<PlacedRun>,
  right: AsyncIterable<PlacedRun>,
): AsyncGenerator<BlockChange> {
  const [l, r] = [new Runs(left), new Runs(right)];
  for (;;) {
    const [a, b] = [await l.peek(), await r.peek()];
    if (a === undefined && b === undefined) return;
    if (b === undefined || (a !== undefined && a.begin < b.begin)) {
      const length = Math.min(a!.length, (b?.begin ?? Infinity) - a!.begin);
      yield { kind: 'gone', begin: a!.begin, length };
      l.skip(length);
    } else if (a === undefined || b.begin < a.begin) {
      const length = Math.min(b.length, (a?.begin ?? Infinity) - b.begin);
      yield { kind: 'data', begin: b.begin, length };
      r.skip(length);
    } else {
      const length = Math.min(a.length, b.length);
      if (a.chunk !== b.chunk) yield { kind: 'data', begin: b.begin, length };
      l.skip(length);
      r.skip(length);
    }
  }
}

class Runs {
  readonly #runs: AsyncIterator<PlacedRun>;
  #next: PlacedRun | undefined;

  constructor(runs: AsyncIterable<PlacedRun>) {
    this.#runs = runs[Symbol.asyncIterator]();
  }

  async peek(): Promise<PlacedRun | undefined> {
    if (this.#next === undefined) {
      const next = await this.#runs.next();
      if (next.done !== true) this.#next = next.value;
    }
    return this.#next;
  }

  /** Blocks from the begin of what was peeked at, all of them there. */
  skip(blocks: number): void {
    const { begin, chunk, length } = this.#next!;
    this.#next =
      blocks === length
        ? undefined
        : { begin: begin + blocks, chunk: chunk + blocks, length: length - blocks };
  }
}

import { ThinError } from '../../errors/thin-error.js';
import { firstAt } from '../../format/first-at.js';
import type { DataUse } from './used-blocks.js';

/** Blocks [from, from + length) move to [to, to + length). */
export interface BlockMove {
  readonly from: number;
  readonly to: number;
  readonly length: number;
}

/**
 * Where data that lies behind the first `blocks` goes: into what is free before. Ascending by `from`. Errors:
 * too-large (more is used).
 */
export function planShrink({ free, used }: DataUse, blocks: number): readonly BlockMove[] {
  const moves: BlockMove[] = [];
  let hole = 0;
  let offset = 0;
  for (const { begin, length } of used) {
    for (let at = Math.max(begin, blocks); at < begin + length;) {
      const room = free[hole];
      const end = room === undefined ? 0 : Math.min(room.begin + room.length, blocks);
      if (room === undefined || room.begin >= blocks) throw tooMuch(used, blocks);
      const to = room.begin + offset;
      const step = Math.min(end - to, begin + length - at);
      if (step > 0) moves.push({ from: at, to, length: step });
      at += Math.max(0, step);
      offset += Math.max(0, step);
      if (to + step < end) continue;
      hole++;
      offset = 0;
    }
  }
  return moves;
}

/** Where a block is after the moves. */
export class MovedBlocks {
  readonly #moves: readonly BlockMove[];

  constructor(moves: readonly BlockMove[]) {
    this.#moves = moves;
  }

  /** Pieces of [begin, begin + length) that stay together, in order. */
  *pieces(begin: number, length: number): Generator<{ readonly data: number; readonly length: number }> {
    const end = begin + length;
    let index = this.#firstBehind(begin);
    for (let at = begin; at < end;) {
      const move = this.#moves[index];
      if (move === undefined || move.from >= end) {
        yield { data: at, length: end - at };
        return;
      }
      if (at < move.from) {
        yield { data: at, length: move.from - at };
        at = move.from;
      }
      const stop = Math.min(end, move.from + move.length);
      yield { data: move.to + (at - move.from), length: stop - at };
      at = stop;
      index++;
    }
  }

  /** Place of the first move that ends behind `block`. */
  #firstBehind(block: number): number {
    return firstAt(this.#moves.length, (at) => {
      const { from, length } = this.#moves[at]!;
      return from + length > block;
    });
  }
}

function tooMuch(used: DataUse['used'], blocks: number): ThinError {
  const count = used.reduce((sum, { length }) => sum + length, 0);
  return new ThinError(
    'too-large',
    `${count} blocks of data are in use, and ${blocks} would be left; choose a larger size`,
  );
}

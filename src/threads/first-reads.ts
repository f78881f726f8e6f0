/** Blocks that are noted: a start of a program reads a few hundred. */
const MOST = 2048;
/** Places of the table that tells which blocks are noted; a power of two, of which half stays free. */
const PLACES = 2 * MOST;
const TABLE = 1;
const LIST = TABLE + PLACES;

/**
 * Which blocks of a device were read first, in their order, also those of which a part was overwritten: all
 * threads note them, without a lock. The memory is `count table list`; 0 is an empty place, and a block
 * stands there as its number plus 1.
 */
export class FirstReads {
  readonly memory: Int32Array;

  constructor(
    memory: Int32Array = new Int32Array(new SharedArrayBuffer((LIST + MOST) * Int32Array.BYTES_PER_ELEMENT)),
  ) {
    this.memory = memory;
  }

  /** Bytes were read; `blockSize` as always for this device. */
  noteRead(offset: number, length: number, blockSize: number): void {
    this.#note(Math.floor(offset / blockSize), Math.floor((offset + length - 1) / blockSize));
  }

  /** Bytes were written: what is around them in their first and last block was wanted, too. */
  noteWritten(offset: number, length: number, blockSize: number): void {
    const end = offset + length;
    const [first, last] = [Math.floor(offset / blockSize), Math.floor((end - 1) / blockSize)];
    if (offset % blockSize !== 0 || (first === last && end % blockSize !== 0)) this.#note(first, first);
    if (first !== last && end % blockSize !== 0) this.#note(last, last);
  }

  /** One that a thread is just noting may be missing. */
  blocks(): number[] {
    const count = Math.min(MOST, Atomics.load(this.memory, 0));
    const words = Array.from(this.memory.subarray(LIST, LIST + count));
    return words.filter((word) => word !== 0).map((word) => word - 1);
  }

  /** Blocks `first` to `last`, both included. */
  #note(first: number, last: number): void {
    for (let block = first; block <= last && Atomics.load(this.memory, 0) < MOST; block++)
      this.#noteOne(block + 1);
  }

  #noteOne(word: number): void {
    for (let at = Math.imul(word, 0x9e3779b1) >>> 0; ; at++) {
      const place = TABLE + (at & (PLACES - 1));
      const found = Atomics.load(this.memory, place) || Atomics.compareExchange(this.memory, place, 0, word);
      if (found === word) return;
      if (found !== 0) continue;
      const count = Atomics.add(this.memory, 0, 1);
      if (count < MOST) Atomics.store(this.memory, LIST + count, word);
      return;
    }
  }
}

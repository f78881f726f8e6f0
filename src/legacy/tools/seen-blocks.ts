/** Above this many a Set takes more memory than a bit for every block of the largest metadata. */
const FEW = 2 ** 14;

/** Which blocks were seen: a walk of one small tree costs little, and one of 4 million blocks 512 KiB. */
export class SeenBlocks {
  readonly #count: number;
  readonly #few = new Set<number>();
  #bits: Uint8Array | undefined;

  /** @param count blocks that there are */
  constructor(count: number) {
    this.#count = count;
  }

  /** `block`: below `count`. Returns whether it is new. */
  add(block: number): boolean {
    if (this.#bits !== undefined) return addBit(this.#bits, block);
    if (this.#few.has(block)) return false;
    this.#few.add(block);
    if (this.#few.size < FEW) return true;
    this.#bits = new Uint8Array(Math.ceil(this.#count / 8));
    for (const seen of this.#few) addBit(this.#bits, seen);
    this.#few.clear();
    return true;
  }
}

function addBit(bits: Uint8Array, block: number): boolean {
  const mask = 1 << (block & 7);
  const before = bits[block >>> 3]!;
  bits[block >>> 3] = before | mask;
  return (before & mask) === 0;
}

/** Numbers below a limit, a bit each. */
export class ChunkSet {
  readonly #bits: Uint8Array;

  constructor(limit: number) {
    this.#bits = new Uint8Array(Math.ceil(limit / 8));
  }

  /** True where it was not in it before. */
  add(chunk: number): boolean {
    const [byte, bit] = [Math.floor(chunk / 8), 1 << (chunk % 8)];
    const before = this.#bits[byte]!;
    this.#bits[byte] = before | bit;
    return (before & bit) === 0;
  }
}

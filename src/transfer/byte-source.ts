/** Takes bytes off a stream in the portions that its reader wants. */
export class ByteSource {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #ahead: Buffer[] = [];
  #length = 0;
  /** Bytes that were there so far, also those that did not suffice. */
  offset = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#pieces = source[Symbol.asyncIterator]();
  }

  /** Undefined where the stream ends before. */
  async take(count: number): Promise<Buffer | undefined> {
    while (this.#length < count)
      if (!(await this.#more())) {
        this.offset += this.#length;
        this.#ahead = [];
        this.#length = 0;
        return undefined;
      }
    this.offset += count;
    return this.#cut(count);
  }

  async isAtEnd(): Promise<boolean> {
    return this.#length === 0 && !(await this.#more());
  }

  /** Tells the source that its reader stopped. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#pieces.next();
      if (next.done === true) return false;
      const { value } = next;
      if (value.length === 0) continue;
      this.#ahead.push(Buffer.from(value.buffer, value.byteOffset, value.length));
      this.#length += value.length;
      return true;
    }
  }

  #cut(count: number): Buffer {
    this.#length -= count;
    const [first] = this.#ahead;
    if (first !== undefined && first.length > count) {
      this.#ahead[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const taken: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      const piece = this.#ahead[0]!;
      const part = piece.subarray(0, missing);
      taken.push(part);
      missing -= part.length;
      if (part.length === piece.length) this.#ahead.shift();
      else this.#ahead[0] = piece.subarray(part.length);
    }
    return taken.length === 1 ? taken[0]! : Buffer.concat(taken);
  }
}

/**
 * Large buffers that are used again and again: allocating a mebibyte for each request costs more than serving
 * it. `most` bounds what requests in flight can hold at once.
 */
export class BufferPool {
  readonly #size: number;
  readonly #most: number;
  readonly #owned = new Set<ArrayBufferLike>();
  readonly #free: Buffer[] = [];

  constructor(size: number, most: number) {
    this.#size = size;
    this.#most = most;
  }

  /** Undefined where all are in use. Its content is arbitrary. */
  take(): Buffer | undefined {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#owned.size >= this.#most) return undefined;
    const made = Buffer.allocUnsafeSlow(this.#size);
    this.#owned.add(made.buffer);
    return made;
  }

  /** `part` is a buffer of this pool or a part of one; others are left to the garbage collector. */
  give(part: Buffer): void {
    if (!this.#owned.has(part.buffer)) return;
    this.#free.push(Buffer.from(part.buffer));
  }
}

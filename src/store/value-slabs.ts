/** Bytes of a slab; a larger value has memory of its own. */
const SLAB = 2 ** 20;
/** Slabs that are kept for the next commit. */
const MOST_KEPT = 32;
/** Milliseconds after which memory that no commit has used again is given back. */
const IDLE = 2000;

/**
 * Memory for the values of one commit after the other. Memory of its own for each value would be touched for
 * the first time with each chunk, and be a reason to collect garbage again and again.
 */
export class ValueSlabs {
  #slabs: Uint8Array<ArrayBuffer>[] = [];
  /** The slab in use, and bytes of it that are taken. */
  #at = 0;
  #taken = 0;
  #idle: NodeJS.Timeout | undefined;

  /** So many bytes, of any content, until `release`. */
  readonly take = (bytes: number): Uint8Array<ArrayBuffer> => {
    if (bytes > SLAB) return new Uint8Array(bytes);
    clearTimeout(this.#idle);
    if (this.#taken + bytes > SLAB) {
      this.#at++;
      this.#taken = 0;
    }
    const slab = (this.#slabs[this.#at] ??= new Uint8Array(SLAB));
    this.#taken += bytes;
    return slab.subarray(this.#taken - bytes, this.#taken);
  };

  /** Nobody uses any more what was taken. */
  release(): void {
    this.#slabs.length = Math.min(this.#slabs.length, MOST_KEPT, this.#at + 1);
    this.#at = 0;
    this.#taken = 0;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => (this.#slabs = []), IDLE).unref();
  }

  close(): void {
    clearTimeout(this.#idle);
    this.#slabs = [];
  }
}

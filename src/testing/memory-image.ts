import type { ImageDirectory, ImageFile } from '../io/image-file.js';

const BLOCK = 64 * 1024;

export type ImageOperation = 'read' | 'write' | 'discard' | 'writeZeroes' | 'flush' | 'seek';

/** One call that reached the image. */
export interface ImageCall {
  readonly operation: ImageOperation;
  readonly offset: number;
  readonly length: number;
}

/**
 * A sparse image in memory. Faults: `before` runs ahead of each call and may throw (the call fails at once),
 * return a promise (the call waits for it, and fails if it rejects), or return nothing.
 */
export class MemoryImage implements ImageFile {
  size: number;
  readOnly = false;
  modifiedAt = 1_700_000_000_000;
  before: ((call: ImageCall) => Promise<void> | undefined) | undefined;
  /** Reads and writes stay out of `calls` above this many, so that a long run does not fill memory. */
  readonly calls: ImageCall[] = [];
  inFlight = 0;
  mostInFlight = 0;
  readonly #blocks = new Map<number, Uint8Array>();
  readonly #keptCalls: number;

  constructor(size: number, keptCalls = 100_000) {
    this.size = size;
    this.#keptCalls = keptCalls;
  }

  get mappedBytes(): number {
    return this.#blocks.size * BLOCK;
  }

  count(operation: ImageOperation): number {
    return this.calls.filter((call) => call.operation === operation).length;
  }

  longest(operation: ImageOperation): number {
    return this.calls.reduce(
      (most, call) => (call.operation === operation ? Math.max(most, call.length) : most),
      0,
    );
  }

  read(offset: number, into: Uint8Array): Promise<void> | undefined {
    return this.#run('read', offset, into.length, () => {
      this.#eachBlock(offset, into.length, (index, start, at, length) => {
        const block = this.#blocks.get(index);
        if (block === undefined) into.fill(0, at, at + length);
        else into.set(block.subarray(start, start + length), at);
      });
    });
  }

  write(offset: number, from: Uint8Array): Promise<void> | undefined {
    return this.#run('write', offset, from.length, () => {
      this.#eachBlock(offset, from.length, (index, start, at, length) => {
        let block = this.#blocks.get(index);
        if (block === undefined) this.#blocks.set(index, (block = new Uint8Array(BLOCK)));
        block.set(from.subarray(at, at + length), start);
      });
      this.modifiedAt += 1;
    });
  }

  discard(offset: number, length: number): Promise<void> | undefined {
    return this.#run('discard', offset, length, () => {
      this.#eachBlock(offset, length, (index, _start, _at, part) => {
        if (part === BLOCK) this.#blocks.delete(index);
      });
    });
  }

  writeZeroes(offset: number, length: number): Promise<void> | undefined {
    return this.#run('writeZeroes', offset, length, () => {
      this.#eachBlock(offset, length, (index, start, _at, part) => {
        if (part === BLOCK) this.#blocks.delete(index);
        else this.#blocks.get(index)?.fill(0, start, start + part);
      });
    });
  }

  async flush(): Promise<void> {
    await this.#run('flush', 0, 0, () => undefined);
  }

  async seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    await this.#run('seek', offset, 0, () => undefined);
    for (let at = offset; at < this.size; at = (Math.floor(at / BLOCK) + 1) * BLOCK)
      if (this.#blocks.has(Math.floor(at / BLOCK)) === (what === 'data')) return at;
    return what === 'hole' ? this.size : undefined;
  }

  #run(
    operation: ImageOperation,
    offset: number,
    length: number,
    work: () => void,
  ): Promise<void> | undefined {
    const call = { operation, offset, length };
    if (this.calls.length < this.#keptCalls) this.calls.push(call);
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    let waiting: Promise<void> | undefined;
    try {
      waiting = this.before?.(call);
      if (waiting === undefined) work();
    } finally {
      if (waiting === undefined) this.inFlight -= 1;
    }
    return waiting?.then(work).finally(() => {
      this.inFlight -= 1;
    });
  }

  #eachBlock(
    offset: number,
    length: number,
    visit: (index: number, start: number, at: number, length: number) => void,
  ): void {
    for (let at = 0; at < length;) {
      const index = Math.floor((offset + at) / BLOCK);
      const start = (offset + at) % BLOCK;
      const part = Math.min(BLOCK - start, length - at);
      visit(index, start, at, part);
      at += part;
    }
  }
}

export class MemoryDirectory implements ImageDirectory {
  readonly files = new Map<string, ImageFile>();
  /** Open handles by name, as the transport reports them. */
  readonly open = new Map<string, number>();
  total = 1024 ** 4;
  free = 512 * 1024 ** 3;

  names(): readonly string[] {
    return [...this.files.keys()];
  }

  lookup(name: string): ImageFile | undefined {
    return this.files.get(name);
  }

  space(): { readonly total: number; readonly free: number } {
    return { total: this.total, free: this.free };
  }

  opened(name: string, delta: 1 | -1): void {
    this.open.set(name, (this.open.get(name) ?? 0) + delta);
  }

  add(name: string, size: number): MemoryImage {
    const image = new MemoryImage(size);
    this.files.set(name, image);
    return image;
  }
}

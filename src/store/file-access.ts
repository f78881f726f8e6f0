import { readSync, writeSync } from 'node:fs';
import type { ChunkId } from '../format/ids.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { sharedInts } from '../shared/dirty-map.js';
import type { Access, ChunkAccess } from './chunk-access.js';

export interface FileMemory {
  readonly kind: 'file';
  readonly chunkSize: number;
  /** Descriptors belong to the process, so that its threads share them. */
  readonly fd: number;
  /** One word: whether something was written since it was last cleared. */
  readonly written: Int32Array;
}

export function fileMemory(fd: number, chunkSize: number): FileMemory {
  return { kind: 'file', chunkSize, fd, written: sharedInts(1) };
}

/** Chunks in a file or on a block device, each at its number times its size. Knows no cache but the kernel's. */
export class FileAccess implements ChunkAccess {
  readonly chunkSize: number;
  readonly contiguous = true;
  readonly #memory: FileMemory;
  readonly #scratch: Buffer;

  constructor(memory: FileMemory) {
    this.#memory = memory;
    this.chunkSize = memory.chunkSize;
    this.#scratch = Buffer.allocUnsafeSlow(memory.chunkSize);
  }

  read(chunk: ChunkId, within: number, into: Uint8Array, at: number, length: number): Access {
    this.#read(into, at, length, chunk * this.chunkSize + within);
    return 'done';
  }

  overwrite(chunk: ChunkId, within: number, from: Uint8Array, at: number, length: number): Access {
    this.#write(from, at, length, chunk * this.chunkSize + within);
    return 'done';
  }

  provision(
    chunk: ChunkId,
    within: number,
    from: Uint8Array,
    at: number,
    length: number,
    zeroed: boolean,
  ): Access {
    const start = chunk * this.chunkSize;
    if (zeroed || length >= this.chunkSize) {
      this.#write(from, at, length, start + within);
      return 'done';
    }
    this.#scratch.fill(0);
    this.#scratch.set(from.subarray(at, at + length), within);
    this.#write(this.#scratch, 0, this.chunkSize, start);
    return 'done';
  }

  copy(
    origin: ChunkId,
    chunk: ChunkId,
    within: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): Access {
    if (length < this.chunkSize) this.#read(this.#scratch, 0, this.chunkSize, origin * this.chunkSize);
    this.#scratch.set(from.subarray(at, at + length), within);
    this.#write(this.#scratch, 0, this.chunkSize, chunk * this.chunkSize);
    return 'done';
  }

  #read(into: Uint8Array, at: number, length: number, position: number): void {
    this.#guard(() => {
      const { fd } = this.#memory;
      for (let done = 0; done < length;) {
        const got = readSync(fd, into, at + done, length - done, position + done);
        if (got === 0)
          throw new ThinError('damaged', `the pool's data ends before byte ${String(position + length)}`);
        done += got;
      }
    });
  }

  #write(from: Uint8Array, at: number, length: number, position: number): void {
    this.#guard(() => {
      const { fd, written } = this.#memory;
      try {
        for (let done = 0; done < length;) {
          const put = writeSync(fd, from, at + done, length - done, position + done);
          if (put === 0) throw new ThinError('io', "the pool's data device took only a part of a write");
          done += put;
        }
      } finally {
        // Behind the write: a sync that cleared the mark before may have missed it.
        if (Atomics.load(written, 0) === 0) Atomics.store(written, 0, 1);
      }
    });
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw dataError(error);
    }
  }
}

/** What a failed system call on the data file means. */
export function dataError(error: unknown): ThinError {
  if (error instanceof ThinError) return error;
  const code = systemErrorCode(error);
  const options = { cause: error };
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new ThinError(
      'no-space',
      "the disk of the pool's data file is full; make room on the host, then go on",
      options,
    );
  return new ThinError('io', `the pool's data cannot be read or written: ${String(error)}`, options);
}

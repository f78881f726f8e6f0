import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ImageFile } from '../../src/io/image-file.js';
import { seededNumbers } from '../../test/support/sector-workload.js';

const BLOCK = 64 * 1024;
const SECTOR = 512;
/** Milliseconds. */
const FLUSH_MS = 4;
const ZEROES = Buffer.alloc(BLOCK);

type Blocks = Map<number, Buffer>;

interface Unsynced {
  readonly offset: number;
  readonly bytes: Buffer;
}

/**
 * A disk in memory with a cache that its power takes away: what was written since the last flush may be there
 * after a cut or not, sector by sector, and in any order.
 */
export class PowerImage implements ImageFile {
  readonly size: number;
  readonly readOnly = false;
  readonly mappedBytes = 0;
  readonly modifiedAt = 0;
  readonly #now: Blocks = new Map();
  readonly #durable: Blocks = new Map();
  #unsynced: Unsynced[] = [];
  #flushed: Promise<void> = Promise.resolve();

  constructor(size: number) {
    this.size = size;
  }

  /** What a cut left. */
  static from(file: string): PowerImage {
    const bytes = readFileSync(file);
    const image = new PowerImage(bytes.length);
    for (let at = 0; at < bytes.length; at += BLOCK) {
      const block = bytes.subarray(at, at + BLOCK);
      if (block.some((byte) => byte !== 0)) put(image.#durable, at, block);
    }
    for (const [number, block] of image.#durable) image.#now.set(number, Buffer.from(block));
    return image;
  }

  read(offset: number, into: Uint8Array): undefined {
    eachPart(offset, into.length, (number, within, at, length) => {
      const block = this.#now.get(number);
      if (block === undefined) into.fill(0, at, at + length);
      else into.set(block.subarray(within, within + length), at);
    });
  }

  write(offset: number, from: Uint8Array): undefined {
    const bytes = Buffer.from(from);
    put(this.#now, offset, bytes);
    this.#unsynced.push({ offset, bytes });
  }

  discard(offset: number, length: number): undefined {
    this.writeZeroes(offset, length);
  }

  writeZeroes(offset: number, length: number): undefined {
    eachPart(offset, length, (number, within, _at, part) => {
      this.write(number * BLOCK + within, new Uint8Array(part));
    });
  }

  /** One after the other. It takes as long as that of a disk, so that a cut meets it. */
  flush(): Promise<void> {
    const flushed = this.#flushed.then(() => this.#flush());
    this.#flushed = flushed;
    return flushed;
  }

  async #flush(): Promise<void> {
    const count = this.#unsynced.length;
    await sleep(FLUSH_MS);
    for (const { offset, bytes } of this.#unsynced.slice(0, count)) put(this.#durable, offset, bytes);
    this.#unsynced = this.#unsynced.slice(count);
  }

  seek(offset: number, what: 'data' | 'hole'): Promise<number | undefined> {
    return Promise.resolve(what === 'data' ? offset : this.size);
  }

  /**
   * What a cut at this moment leaves, in a file; nothing that is flushed later counts any more. @returns sectors
   * that were not synced, and those kept
   */
  cut(file: string, seed: number): { readonly unsynced: number; readonly kept: number } {
    const next = seededNumbers(seed);
    const odds = next(101);
    const count = { unsynced: 0, kept: 0 };
    for (const { offset, bytes } of this.#unsynced)
      for (let at = 0; at < bytes.length; at += SECTOR) {
        count.unsynced++;
        if (next(100) >= odds) continue;
        count.kept++;
        put(this.#durable, offset + at, bytes.subarray(at, at + SECTOR));
      }
    const fd = openSync(file, 'w');
    ftruncateSync(fd, this.size);
    for (const [number, block] of this.#durable)
      if (!block.equals(ZEROES)) writeSync(fd, block, 0, BLOCK, number * BLOCK);
    closeSync(fd);
    return count;
  }
}

function put(blocks: Blocks, offset: number, bytes: Uint8Array): void {
  eachPart(offset, bytes.length, (number, within, at, length) => {
    let block = blocks.get(number);
    if (block === undefined) blocks.set(number, (block = Buffer.alloc(BLOCK)));
    block.set(bytes.subarray(at, at + length), within);
  });
}

function eachPart(
  offset: number,
  length: number,
  visit: (number: number, within: number, at: number, length: number) => void,
): void {
  for (let at = 0; at < length;) {
    const number = Math.floor((offset + at) / BLOCK);
    const within = (offset + at) % BLOCK;
    const part = Math.min(BLOCK - within, length - at);
    visit(number, within, at, part);
    at += part;
  }
}

import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { ThinError } from '../../src/errors/thin-error.js';
import type { DataHandle, FileRange } from '../../src/store/file-chunks.js';
import { seededNumbers } from './sector-workload.js';

const SECTOR = 512;
/** Bytes compared at a time; most of a data file never changes. */
const STRETCH = 64 * 1024;

/**
 * A file that is written in place (the data of a `direct` pool, a log) on a machine that can lose its power:
 * what was written since the last fdatasync may be there afterwards or not, sector by sector. The file itself
 * is what the page cache would show.
 */
export class CrashFile {
  readonly handle: DataHandle;
  readonly #path: string;
  readonly #size: number;
  readonly #fd: number;
  readonly #isStopped: () => boolean;
  readonly #onStop: () => void;
  #durable: Buffer;
  /** Read into next; the durable content and this one change places. */
  #spare: Buffer;
  #syncs = 0;
  #stopAt = Infinity;

  /**
   * @param path made, and gone after `remove`
   * @param content what is there, durable
   * @param machine says whether the machine has stopped, and is told that this file stops it
   */
  constructor(path: string, content: Buffer, machine: { isStopped: () => boolean; stop: () => void }) {
    this.#path = path;
    this.#size = content.length;
    this.#isStopped = machine.isStopped;
    this.#onStop = machine.stop;
    this.#durable = content;
    this.#fd = openSync(path, 'w+');
    ftruncateSync(this.#fd, this.#size);
    for (const [from, to] of stretches(this.#size))
      if (content.subarray(from, to).some((byte) => byte !== 0))
        writeSync(this.#fd, content, from, to - from, from);
    this.handle = {
      fd: this.#fd,
      // As a file does: where it is closed, the promise rejects. Timers of a process that died go on here.
      datasync: async () => this.#datasync(),
      close: () => Promise.resolve(),
    };
    this.#spare = Buffer.alloc(this.#size);
  }

  /** Syncs that have had their turn. */
  get syncCount(): number {
    return this.#syncs;
  }

  /** Sync `n`, counted from 0, does not end: the machine stops in it. */
  stopAt(n: number): void {
    this.#stopAt = n;
  }

  readonly punch = (ranges: readonly FileRange[]): Promise<void> => {
    if (this.#isStopped()) return Promise.reject(stopped());
    for (const { offset, length } of ranges)
      for (const [from, to] of stretches(length)) writeSync(this.#fd, ZEROES, 0, to - from, offset + from);
    return Promise.resolve();
  };

  /** What the next start finds: of the sectors that were not synced, each as it was or as it became. */
  crash(seed: number): Buffer {
    const next = seededNumbers(seed);
    const odds = next(101);
    const now = this.#read();
    const found = Buffer.from(this.#durable);
    for (const [from, to] of stretches(this.#size)) {
      if (now.compare(found, from, to, from, to) === 0) continue;
      for (let at = from; at < to; at += SECTOR)
        if (now.compare(found, at, at + SECTOR, at, at + SECTOR) !== 0 && next(100) < odds)
          now.copy(found, at, at, at + SECTOR);
    }
    return found;
  }

  /** What the page cache shows: what a process that dies leaves. */
  current(): Buffer {
    return Buffer.from(this.#read());
  }

  async remove(): Promise<void> {
    closeSync(this.#fd);
    await rm(this.#path, { force: true });
  }

  /** What was written before the call is durable, and not what is written until it resolves. */
  #datasync(): Promise<void> {
    if (this.#isStopped()) return Promise.reject(stopped());
    if (this.#syncs++ >= this.#stopAt) {
      this.#onStop();
      return Promise.reject(stopped());
    }
    const durable = this.#read();
    this.#spare = this.#durable;
    this.#durable = durable;
    return Promise.resolve();
  }

  #read(): Buffer {
    readSync(this.#fd, this.#spare, 0, this.#size, 0);
    return this.#spare;
  }
}

const ZEROES = Buffer.alloc(STRETCH);

function* stretches(size: number): Generator<[number, number]> {
  for (let from = 0; from < size; from += STRETCH) yield [from, Math.min(from + STRETCH, size)];
}

function stopped(): ThinError {
  return new ThinError('io', 'the machine has lost its power: a test stopped it here');
}

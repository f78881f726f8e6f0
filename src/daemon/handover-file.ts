import { closeSync, openSync, renameSync, writeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { HandoverChange, HandoverEntries } from './handover-entries.js';

/** Lines beyond twice as many as are needed, at which the file is written anew. */
const SPARE = 4096;
/** Entries written in one turn. */
const STEP = 256;

/** @throws the file system's error */
function write(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  if (writeSync(fd, bytes) < bytes.length) throw new Error('ENOSPC: a part of it was written');
}

function lineOf(change: HandoverChange): string {
  return `${JSON.stringify(change)}\n`;
}

/**
 * The file of a handover while its daemon serves: a head, then one line for each change. A change costs a
 * line, whatever the number of devices. The file is written anew, in turns, when most of it is out of date. A
 * crash of the machine need not leave anything of it.
 */
export class HandoverFile {
  readonly #path: string;
  readonly #head: string;
  readonly #entries: HandoverEntries;
  readonly #spare: number;
  readonly #onFailure: (error: unknown) => void;
  #fd: number;
  #lines = 0;
  /** What has changed since the file began to be written anew. */
  #later: string[] | undefined;
  #closed = false;

  /**
   * Whole or not at all.
   * @param head the first line
   * @param entries changed before each `append`
   * @param onFailure the file could not be written anew: it goes on as it is
   * @throws the file system's error
   */
  constructor(
    path: string,
    head: string,
    entries: HandoverEntries,
    { spare = SPARE, onFailure }: { spare?: number; onFailure: (error: unknown) => void },
  ) {
    this.#path = path;
    this.#head = head;
    this.#entries = entries;
    this.#spare = spare;
    this.#onFailure = onFailure;
    this.#fd = this.#begin();
    try {
      for (const step of this.#steps()) write(this.#fd, step);
      this.#lines = entries.size;
      renameSync(`${path}.tmp`, path);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** @throws the file system's error: a part of it may be written */
  append(change: HandoverChange): void {
    const line = lineOf(change);
    write(this.#fd, line);
    this.#lines++;
    if (this.#later !== undefined) this.#later.push(line);
    else if (this.#lines > 2 * this.#entries.size + this.#spare)
      this.#rewrite().catch((error: unknown) => {
        this.#later = undefined;
        if (!this.#closed) this.#onFailure(error);
      });
  }

  close(): void {
    if (!this.#closed) closeSync(this.#fd);
    this.#closed = true;
  }

  #begin(): number {
    const fd = openSync(`${this.#path}.tmp`, 'w', 0o600);
    try {
      write(fd, `${this.#head}\n`);
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  async #rewrite(): Promise<void> {
    this.#later = [];
    const fd = this.#begin();
    try {
      // An entry that changes meanwhile is in `later`, which comes last.
      for (const step of this.#steps()) {
        write(fd, step);
        await nextTurn();
        if (this.#closed) return;
      }
      write(fd, this.#later.join(''));
      renameSync(`${this.#path}.tmp`, this.#path);
      closeSync(this.#fd);
      this.#lines = this.#entries.size + this.#later.length;
      this.#later = undefined;
      this.#fd = fd;
    } finally {
      if (this.#fd !== fd) closeSync(fd);
    }
  }

  *#steps(): Generator<string> {
    let text = '';
    let count = 0;
    for (const change of this.#entries.all()) {
      text += lineOf(change);
      if (++count % STEP !== 0) continue;
      yield text;
      text = '';
    }
    yield text;
  }
}

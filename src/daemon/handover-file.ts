import { closeSync, openSync, renameSync, writeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { HandoverChange, HandoverEntries } from './handover-entries.js';
import { packCount, packLine } from './handover-lines.js';

/** Lines beyond twice as many as are needed, at which the file is written anew. */
const SPARE = 4096;
/** Entries written in one turn. */
const STEP = 256;

/** @throws the file system's error */
function write(fd: number, text: string, at: number | null = null): void {
  const bytes = Buffer.from(text);
  if (writeSync(fd, bytes, 0, bytes.length, at) < bytes.length)
    throw new Error('ENOSPC: a part of it was written');
}

/**
 * The file of a handover while its daemon serves: a head, then one line for each change
 * (`handover-lines.ts`). A change costs a line and the count, whatever the number of devices. The file is
 * written anew, in turns, when most of it is out of date. A crash of the machine need not leave anything of
 * it.
 */
export class HandoverFile {
  readonly #path: string;
  readonly #head: string;
  readonly #entries: HandoverEntries;
  readonly #spare: number;
  readonly #onFailure: (error: unknown) => void;
  #fd: number;
  /** Without the head. */
  #lines = 0;
  /** What has changed since the file began to be written anew. */
  #later: HandoverChange[] | undefined;
  #closed = false;

  /**
   * Whole or not at all.
   * @param head what the first line has
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
      for (const step of this.#steps()) this.#lines += writeLines(this.#fd, this.#lines, step);
      writeCount(this.#fd, this.#lines);
      renameSync(`${path}.tmp`, path);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** @throws the file system's error: a part of it may be written */
  append(change: HandoverChange): void {
    this.#lines += writeLines(this.#fd, this.#lines, [change]);
    writeCount(this.#fd, this.#lines);
    if (this.#later !== undefined) this.#later.push(change);
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
      write(fd, packCount(1) + packLine(0, this.#head));
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
      let lines = 0;
      for (const step of this.#steps()) {
        lines += writeLines(fd, lines, step);
        await nextTurn();
        if (this.#closed) return;
      }
      lines += writeLines(fd, lines, this.#later);
      writeCount(fd, lines);
      renameSync(`${this.#path}.tmp`, this.#path);
      closeSync(this.#fd);
      this.#lines = lines;
      this.#later = undefined;
      this.#fd = fd;
    } finally {
      if (this.#fd !== fd) closeSync(fd);
    }
  }

  *#steps(): Generator<readonly HandoverChange[]> {
    let step: HandoverChange[] = [];
    for (const change of this.#entries.all()) {
      step.push(change);
      if (step.length < STEP) continue;
      yield step;
      step = [];
    }
    yield step;
  }
}

/** @param before lines behind the head @returns how many were added @throws the file system's error */
function writeLines(fd: number, before: number, changes: readonly HandoverChange[]): number {
  const lines = changes.map((change, at) => packLine(1 + before + at, JSON.stringify(change)));
  if (lines.length > 0) write(fd, lines.join(''));
  return lines.length;
}

/** @param lines behind the head @throws the file system's error */
function writeCount(fd: number, lines: number): void {
  write(fd, packCount(1 + lines), 0);
}

import { closeSync, constants, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';
import type { StoredRecord } from '../format/journal-record.js';
import { packJournalState } from '../format/journal-state.js';
import { sharedInts } from '../shared/dirty-map.js';
import {
  BROKEN,
  BYTES,
  GENERATION,
  JOURNAL_WORDS,
  journalFiles,
  JournalWriter,
  makeJournalFile,
  POOL_THREAD,
  RETIRED,
  STATE_FILE,
  type JournalMemory,
} from './journal-writer.js';
import { incarnationOf, type LeftJournal } from './read-journal.js';

/** Of no use any more, or of somebody whom nobody follows. */
export async function removeJournal(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/**
 * The journal of what is answered and not committed (`JournalWriter`), as the pool thread looks after it: what a commit is about to make durable
 * is one generation of it, and is retired when that is done.
 */
export class Journal {
  readonly memory: JournalMemory;
  /** The pool thread's. */
  readonly writer: JournalWriter;

  #left: readonly StoredRecord[];
  /** The first process whose files are still of use. */
  #oldest: number;
  #hasLeft: boolean;
  #isMade = false;

  private constructor(folder: string, chunkSize: number, left: LeftJournal | undefined) {
    this.memory = {
      folder,
      incarnation: (left?.incarnation ?? 0) + 1,
      chunkSize,
      sequence: new BigInt64Array(new SharedArrayBuffer(8)),
      words: sharedInts(JOURNAL_WORDS),
    };
    const last = left?.records.at(-1);
    const generation = left?.records.reduce(
      (most, record) => Math.max(most, record.generation),
      left.retired,
    );
    Atomics.store(this.memory.sequence, 0, last?.sequence ?? 0n);
    Atomics.store(this.memory.words, GENERATION, (generation ?? 0) + 1);
    Atomics.store(this.memory.words, RETIRED, left?.retired ?? 0);
    this.writer = new JournalWriter(this.memory, POOL_THREAD);
    this.#left = left?.records ?? [];
    this.#oldest = left?.oldest ?? this.memory.incarnation;
    this.#hasLeft = left !== undefined;
  }

  /**
   * Goes on behind what an earlier process left, which stays until the first commit is durable; without that, begins an empty one in place of
   * what is there. @throws ThinError io
   */
  static async begin(folder: string, chunkSize: number, left?: LeftJournal): Promise<Journal> {
    try {
      if (left === undefined) await removeJournal(folder);
      await mkdir(folder, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new ThinError('io', `the journal ${folder} cannot be made: ${String(error)}`, { cause: error });
    }
    const journal = new Journal(folder, chunkSize, left);
    journal.#makeFiles();
    journal.#writeState(left?.retired ?? 0);
    return journal;
  }

  /** What is to be done again before anything else, and made durable; nothing is retired before that. */
  get left(): readonly StoredRecord[] {
    return this.#left;
  }

  /** Bytes written since the last commit began, in whole KiB. */
  get length(): number {
    return Atomics.load(this.memory.words, BYTES) * 1024;
  }

  /** All of `left` was done again: the next commit has it. */
  release(): void {
    this.#left = [];
  }

  /** A commit begins. What was written before belongs to the generation that is returned, once the requests in flight have ended. */
  advance(): number {
    const { words } = this.memory;
    if (!this.#isMade) this.#makeFiles();
    // What could not be written down is in this commit, too.
    Atomics.store(words, BROKEN, 0);
    Atomics.store(words, BYTES, 0);
    return Atomics.add(words, GENERATION, 1);
  }

  /** That commit is durable. */
  retire(generation: number): void {
    if (this.#left.length > 0) return;
    const { words, incarnation } = this.memory;
    Atomics.store(words, RETIRED, generation);
    if (Atomics.load(words, BROKEN) !== 0) return;
    this.#oldest = incarnation;
    if (this.#writeState(generation)) this.#removeLeft();
  }

  /** Whether it could be written. Where it cannot, there is none, and nobody goes on with this journal. */
  #writeState(retired: number): boolean {
    const { folder, incarnation } = this.memory;
    const file = path.join(folder, STATE_FILE);
    try {
      if (!this.#isMade) throw new Error('its files could not be made');
      const state = packJournalState({ retired, oldest: this.#oldest, newest: incarnation });
      const fd = openSync(file, constants.O_WRONLY | constants.O_CREAT, 0o600);
      writeSync(fd, state, 0, state.length, 0);
      closeSync(fd);
      return true;
    } catch {
      rmSync(file, { force: true });
      return false;
    }
  }

  /** Before anything is written to one, so that one that is missing is missed. A disk may be too full for them, for now. */
  #makeFiles(): void {
    const { folder, incarnation } = this.memory;
    try {
      for (const name of journalFiles(incarnation)) makeJournalFile(path.join(folder, name));
      this.#isMade = true;
    } catch {
      Atomics.store(this.memory.words, BROKEN, 1);
    }
  }

  #removeLeft(): void {
    if (!this.#hasLeft) return;
    this.#hasLeft = false;
    const { folder, incarnation } = this.memory;
    for (const name of readdirSync(folder))
      if ((incarnationOf(name) ?? incarnation) < incarnation)
        rmSync(path.join(folder, name), { force: true });
  }

  async close(): Promise<void> {
    this.writer.close();
    await removeJournal(this.memory.folder);
  }
}

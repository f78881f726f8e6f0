import { closeSync, constants, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';
import { unpackJournal, type StoredRecord } from '../format/journal-record.js';
import { sharedInts } from '../shared/dirty-map.js';
import {
  BROKEN,
  BYTES,
  GENERATION,
  JOURNAL_WORDS,
  JournalWriter,
  POOL_THREAD,
  RETIRED,
  STATE_FILE,
  type JournalMemory,
} from './journal-writer.js';

const FILE = /^(\d+)\.\d+\.\d$/;

/** What an earlier process left. */
export interface LeftJournal {
  /** Everything that it answered and did not commit, in the order in which it was done. */
  readonly records: readonly StoredRecord[];
  readonly retired: number;
  readonly incarnation: number;
}

/** @throws ThinError damaged (not all of it is there) */
export async function readJournal(folder: string): Promise<LeftJournal> {
  const state = await readFile(path.join(folder, STATE_FILE)).catch(() => undefined);
  if (state?.length !== 4)
    throw new ThinError(
      'damaged',
      `${folder} does not have all that the last daemon has answered (its disk was full, or somebody was at it)`,
    );
  const retired = state.readUInt32LE();
  const records: StoredRecord[] = [];
  let incarnation = 0;
  for (const name of await readdir(folder)) {
    const number = FILE.exec(name)?.[1];
    if (number === undefined) continue;
    incarnation = Math.max(incarnation, Number(number));
    records.push(...unpackJournal(await readFile(path.join(folder, name)), retired));
  }
  records.sort((x, y) => (x.sequence < y.sequence ? -1 : 1));
  return { records, retired, incarnation };
}

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
  #hasLeft: boolean;

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
    if (left === undefined) journal.retire(0);
    return journal;
  }

  /** What is to be done again before anything else, and made durable; nothing is retired before that. */
  get left(): readonly StoredRecord[] {
    return this.#left;
  }

  /** All of `left` was done again: the next commit has it. */
  release(): void {
    this.#left = [];
  }

  /** A commit begins. What was written before belongs to the generation that is returned, once the requests in flight have ended. */
  advance(): number {
    const { words } = this.memory;
    // What could not be written down is in this commit, too.
    Atomics.store(words, BROKEN, 0);
    Atomics.store(words, BYTES, 0);
    return Atomics.add(words, GENERATION, 1);
  }

  /** That commit is durable. */
  retire(generation: number): void {
    if (this.#left.length > 0) return;
    const { folder, words } = this.memory;
    Atomics.store(words, RETIRED, generation);
    if (Atomics.load(words, BROKEN) !== 0) return;
    const state = Buffer.alloc(4);
    state.writeUInt32LE(generation);
    try {
      const fd = openSync(path.join(folder, STATE_FILE), constants.O_WRONLY | constants.O_CREAT, 0o600);
      writeSync(fd, state, 0, 4, 0);
      closeSync(fd);
    } catch {
      rmSync(path.join(folder, STATE_FILE), { force: true });
      return;
    }
    this.#removeLeft();
  }

  #removeLeft(): void {
    if (!this.#hasLeft) return;
    this.#hasLeft = false;
    const { folder, incarnation } = this.memory;
    for (const name of readdirSync(folder))
      if (FILE.test(name) && Number.parseInt(name) < incarnation)
        rmSync(path.join(folder, name), { force: true });
  }

  async close(): Promise<void> {
    this.writer.close();
    await removeJournal(this.memory.folder);
  }
}

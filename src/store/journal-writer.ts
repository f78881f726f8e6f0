import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import path from 'node:path';
import {
  isWrittenWhole,
  JOURNAL_LINE,
  packJournalEnd,
  packJournalRecord,
  journalRecordSize,
  journalSalt,
  JournalKind,
  type JournalRecord,
} from '../format/journal-record.js';
import { MAX_THREADS } from '../shared/request-epochs.js';

/** Words of `JournalMemory.words`. */
export const GENERATION = 0;
export const RETIRED = 1;
export const BROKEN = 2;
export const BYTES = 3;
export const JOURNAL_WORDS = 4;

/** What another thread needs to write to the journal. */
export interface JournalMemory {
  readonly folder: string;
  /** Of the processes that wrote to the folder, which one this is: its files are its own. */
  readonly incarnation: number;
  /** Bytes of the largest payload: a chunk. */
  readonly chunkSize: number;
  /** The last sequence that was given out. */
  readonly sequence: BigInt64Array;
  /**
   * GENERATION: commits that have begun, and 1. RETIRED: records up to this generation are of no use any more. BROKEN: not zero: something
   * could not be written. BYTES: written since the last commit began, in KiB.
   */
  readonly words: Int32Array;
}

/** KiB at which a commit should begin, so that the journal stays in memory and is soon done again. */
const LONG = 64 * 1024;

/** Of the pool thread, which is none of those that epochs count. */
export const POOL_THREAD = MAX_THREADS;

/** Says what of the journal counts (`JournalState`). Where it is missing, the journal does not have everything. */
export const STATE_FILE = 'retired';

/** Commits alternate between two files a thread, so that one is written while what the other has becomes durable. */
const SLOTS = 2;

/** The name of a file of the journal. */
function journalFile(incarnation: number, thread: number, slot: number): string {
  return [incarnation, thread, slot].join('.');
}

/** All that a process has, which are there before it writes to any. */
export function journalFiles(incarnation: number): string[] {
  const names: string[] = [];
  for (let thread = 0; thread <= POOL_THREAD; thread++)
    for (let slot = 0; slot < SLOTS; slot++) names.push(journalFile(incarnation, thread, slot));
  return names;
}

/** @throws the system's error */
export function makeJournalFile(place: string): void {
  const end = Buffer.alloc(JOURNAL_LINE);
  packJournalEnd(end, 0n, 0, journalSalt(path.basename(place)));
  const fd = openSync(place, 'w', 0o600);
  try {
    writeSync(fd, end, 0, end.length, 0);
  } finally {
    closeSync(fd);
  }
}

/** A commit should begin, because much was written since the last one. */
export function isLong({ words }: JournalMemory): boolean {
  return Atomics.load(words, BYTES) >= LONG;
}

type Numbers = Partial<Omit<JournalRecord, 'generation' | 'kind'>>;

interface Payload {
  readonly from: Uint8Array;
  readonly at: number;
  readonly length: number;
}

interface JournalFile {
  readonly fd: number;
  readonly salt: number;
  /** Where its end stands, in bytes. */
  end: number;
  generation: number;
}

const NOTHING: Payload = { from: new Uint8Array(0), at: 0, length: 0 };

/**
 * Writes down what was done and not committed, before it is answered, so that a process that follows on this one's sudden death finds it: in
 * files, and so in the kernel's hands, but not on a disk. One a thread. The caller is inside a request's epoch, or is the pool thread.
 */
export class JournalWriter {
  readonly #memory: JournalMemory;
  readonly #thread: number;
  readonly #files = new Map<number, JournalFile>();
  readonly #scratch: Buffer;
  #kib = 0;

  constructor(memory: JournalMemory, thread: number) {
    this.#memory = memory;
    this.#thread = thread;
    this.#scratch = Buffer.allocUnsafeSlow(journalRecordSize(memory.chunkSize) + JOURNAL_LINE);
  }

  map(device: number, block: number, chunk: number, run: number): void {
    this.#write(JournalKind.MAP, { device, block, chunk, run });
  }

  mapPartial(device: number, block: number, chunk: number, origin: number, pages: number): void {
    this.#write(JournalKind.MAP_PARTIAL, { device, block, chunk, origin, pages });
  }

  /** @param origin undefined: the rest of the chunk holds zeroes */
  mapWith(
    device: number,
    block: number,
    chunk: number,
    origin: number | undefined,
    data: { within: number; from: Uint8Array; at: number; length: number },
  ): void {
    const kind = origin === undefined ? JournalKind.PROVISION : JournalKind.COPY;
    this.#write(kind, { device, block, chunk, origin: origin ?? 0, within: data.within }, data);
  }

  unmap(device: number, block: number): void {
    this.#write(JournalKind.UNMAP, { device, block });
  }

  data(chunk: number, within: number, from: Uint8Array, at: number, length: number): void {
    this.#write(JournalKind.DATA, { chunk, within }, { from, at, length });
  }

  pages(chunk: number, pages: number): void {
    this.#write(JournalKind.PAGES, { chunk, pages });
  }

  close(): void {
    for (const { fd } of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }

  /** Never throws: what cannot be written makes the journal one that nobody follows. */
  #write(kind: JournalKind, numbers: Numbers, payload: Payload = NOTHING): void {
    const { words, sequence } = this.#memory;
    if (Atomics.load(words, BROKEN) !== 0) return;
    const generation = Atomics.load(words, GENERATION);
    const record = { ...NO_NUMBERS, ...numbers, generation, kind };
    const number = Atomics.add(sequence, 0, 1n) + 1n;
    let length = 0;
    try {
      const file = this.#fileFor(generation);
      length = packJournalRecord(this.#scratch, number, record, payload, file.salt);
      if (isWrittenWhole(file.end, length)) {
        this.#put(file, 0, length + JOURNAL_LINE);
      } else {
        this.#put(file, JOURNAL_LINE, length + JOURNAL_LINE);
        this.#put(file, 0, JOURNAL_LINE);
      }
      file.end += length;
    } catch {
      this.#break();
    }
    this.#count(length);
  }

  /** Of what was packed, from the file's end on. */
  #put({ fd, end }: JournalFile, from: number, until: number): void {
    for (let done = from; done < until;) done += writeSync(fd, this.#scratch, done, until - done, end + done);
  }

  #fileFor(generation: number): JournalFile {
    const { folder, incarnation, words } = this.#memory;
    const slot = generation % SLOTS;
    let file = this.#files.get(slot);
    if (file === undefined) {
      const name = journalFile(incarnation, this.#thread, slot);
      const fd = openSync(path.join(folder, name), 'r+');
      file = { fd, salt: journalSalt(name), end: 0, generation };
      this.#files.set(slot, file);
    }
    if (file.generation !== generation && file.generation <= Atomics.load(words, RETIRED)) {
      file.end = 0;
      packJournalEnd(this.#scratch, 0n, generation, file.salt);
      this.#put(file, 0, JOURNAL_LINE);
    }
    file.generation = generation;
    return file;
  }

  #break(): void {
    const { folder, words } = this.#memory;
    Atomics.store(words, BROKEN, 1);
    try {
      unlinkSync(path.join(folder, STATE_FILE));
    } catch {
      // Another thread was first.
    }
  }

  #count(length: number): void {
    this.#kib += length;
    if (this.#kib < 1024) return;
    Atomics.add(this.#memory.words, BYTES, this.#kib >> 10);
    this.#kib &= 1023;
  }
}

const NO_NUMBERS = { device: 0, block: 0, chunk: 0, run: 0, origin: 0, pages: 0, within: 0 };

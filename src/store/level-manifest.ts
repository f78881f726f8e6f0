import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../errors/thin-error.js';
import { unpackInternalKey, VarintReader } from './level-bytes.js';
import { damagedStore } from './level-errors.js';
import { readLog } from './level-log.js';
import { LOG_BLOCK, LogScan, wholeRecords } from './level-log-scan.js';

/** A table as MANIFEST has it. */
export interface TableEntry {
  readonly number: number;
  /**
   * 0: as it was flushed, and its keys may be in others of this level; a lower level is newer than a higher
   * one.
   */
  readonly level: number;
  /** Bytes. */
  readonly size: number;
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

/** What MANIFEST says of the other files. */
export interface Manifest {
  /** The oldest log that is still needed; 0 where there is none yet. */
  readonly logNumber: number;
  /** Of a change that was durable when MANIFEST was last written. */
  readonly lastSequence: number;
  /** By number. */
  readonly tables: ReadonlyMap<number, TableEntry>;
  /** By level, the key behind which LevelDB goes on with compactions of that level. */
  readonly pointers: ReadonlyMap<number, Uint8Array>;
}

/** Hears of each table that comes and goes. */
export interface TableWatcher {
  added(table: TableEntry): void;
  removed(table: TableEntry): void;
}

/**
 * The store may be open, and be opened anew meanwhile. @throws ThinError damaged (CURRENT, MANIFEST); the
 * file system's error
 */
export async function readManifest(path: string): Promise<Manifest> {
  for (let name = await currentManifest(path); ;) {
    try {
      return await readManifestFile(path, name);
    } catch (error) {
      const now = await currentManifest(path);
      if (now === name) throw error;
      name = now;
    }
  }
}

async function currentManifest(path: string): Promise<string> {
  const current = await readFile(join(path, 'CURRENT'), 'latin1');
  const name = /^(MANIFEST-\d+)\n$/.exec(current)?.[1];
  if (name === undefined) throw damagedStore(path, 'its file CURRENT names no MANIFEST');
  return name;
}

/** @throws ThinError damaged; the file system's error */
export async function readManifestFile(path: string, name: string): Promise<Manifest> {
  const edits = new Edits();
  try {
    const { badAt, damage } = await readLog(join(path, name), edits);
    if (damage !== undefined) throw damagedStore(path, `${name} is damaged at byte ${badAt}: ${damage}`);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw damagedStore(path, `${name} is missing`);
    throw error;
  }
  if (edits.records === 0) throw damagedStore(path, `${name} is damaged at its start`);
  return edits;
}

/**
 * Follows MANIFEST as LevelDB adds to it: what was read once is not read again, however long a store has been
 * open.
 */
export class ManifestFollower {
  readonly #path: string;
  readonly #watcher: TableWatcher | undefined;
  #name = '';
  #edits: Edits;
  /** Read as a whole, where following came to nothing. */
  #whole: Manifest | undefined;
  #scan: LogScan;
  /** Bytes that `#scan` has seen, all of them whole records. */
  #seen = 0;

  constructor(path: string, watcher?: TableWatcher) {
    this.#path = path;
    this.#watcher = watcher;
    this.#edits = new Edits(watcher);
    this.#scan = new LogScan(this.#edits);
  }

  /** What it says now; the next call changes it. @throws as `readManifest` */
  async read(): Promise<Manifest> {
    const name = await currentManifest(this.#path);
    if (name !== this.#name) this.#begin(name);
    await this.#readOn();
    if (this.#edits.records > 0 && this.#scan.end().damage === undefined) return this.#edits;
    // It may have been exchanged just now. A reader of all of it reports any other fault.
    this.#begin('');
    this.#whole = await readManifest(this.#path);
    for (const table of this.#whole.tables.values()) this.#watcher?.added(table);
    return this.#whole;
  }

  #begin(name: string): void {
    for (const table of (this.#whole ?? this.#edits).tables.values()) this.#watcher?.removed(table);
    this.#whole = undefined;
    this.#name = name;
    this.#edits = new Edits(this.#watcher);
    this.#scan = new LogScan(this.#edits);
    this.#seen = 0;
  }

  async #readOn(): Promise<void> {
    const handle = await open(join(this.#path, this.#name), 'r');
    try {
      const block = Buffer.alloc(LOG_BLOCK);
      for (;;) {
        const left = LOG_BLOCK - (this.#seen % LOG_BLOCK);
        const { bytesRead } = await handle.read(block, 0, left, this.#seen);
        const bytes = block.subarray(0, bytesRead);
        const whole = bytesRead === left ? bytesRead : wholeRecords(bytes);
        this.#scan.block(bytes.subarray(0, whole), this.#seen);
        this.#seen += whole;
        if (bytesRead < left) return;
      }
    } finally {
      await handle.close();
    }
  }
}

/** Tags of a version edit (db/version_edit.cc). */
const COMPARATOR = 1;
const LOG_NUMBER = 2;
const NEXT_FILE_NUMBER = 3;
const LAST_SEQUENCE = 4;
const COMPACT_POINTER = 5;
const DELETED_FILE = 6;
const NEW_FILE = 7;
const PREV_LOG_NUMBER = 9;

class Edits implements Manifest {
  readonly headBytes = Infinity;
  readonly #watcher: TableWatcher | undefined;
  logNumber = 0;
  lastSequence = 0;
  records = 0;
  readonly tables = new Map<number, TableEntry>();
  readonly pointers = new Map<number, Uint8Array>();

  constructor(watcher?: TableWatcher) {
    this.#watcher = watcher;
  }

  follows(): boolean {
    return true;
  }

  record(data: Uint8Array): string | undefined {
    this.records++;
    const reader = new VarintReader(data);
    const added: TableEntry[] = [];
    while (!reader.ended) {
      const tag = reader.number();
      if (tag === LOG_NUMBER) this.logNumber = reader.number();
      else if (tag === LAST_SEQUENCE) this.lastSequence = reader.number();
      else if (tag === COMPARATOR) reader.bytes();
      else if (tag === NEXT_FILE_NUMBER || tag === PREV_LOG_NUMBER) reader.number();
      else if (tag === COMPACT_POINTER) {
        const level = reader.number();
        this.pointers.set(level, keyOf(reader.bytes()));
      } else if (tag === DELETED_FILE) {
        reader.number();
        const number = reader.number();
        const gone = this.tables.get(number);
        this.tables.delete(number);
        if (gone !== undefined) this.#watcher?.removed(gone);
      } else if (tag === NEW_FILE) {
        added.push({
          level: reader.number(),
          number: reader.number(),
          size: reader.number(),
          first: keyOf(reader.bytes()),
          last: keyOf(reader.bytes()),
        });
      } else return `it has an entry of an unknown kind (tag ${tag})`;
    }
    // A table that only changes its level is deleted and added in one edit.
    for (const table of added) {
      this.tables.set(table.number, table);
      this.#watcher?.added(table);
    }
    return reader.overrun ? 'an entry ends too early' : undefined;
  }
}

function keyOf(internal: Uint8Array): Uint8Array {
  return unpackInternalKey(internal)?.key ?? NO_KEY;
}

const NO_KEY = new Uint8Array(0);

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../errors/thin-error.js';
import { unpackInternalKey, VarintReader } from './level-bytes.js';
import { damagedStore } from './level-errors.js';
import { readLog } from './level-log.js';

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
  logNumber = 0;
  lastSequence = 0;
  records = 0;
  readonly tables = new Map<number, TableEntry>();

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
        reader.number();
        reader.bytes();
      } else if (tag === DELETED_FILE) {
        reader.number();
        this.tables.delete(reader.number());
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
    for (const table of added) this.tables.set(table.number, table);
    return reader.overrun ? 'an entry ends too early' : undefined;
  }
}

function keyOf(internal: Uint8Array): Uint8Array {
  return unpackInternalKey(internal)?.key ?? NO_KEY;
}

const NO_KEY = new Uint8Array(0);

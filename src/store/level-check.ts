import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { DAMAGED_NEXT, fileError } from './level-errors.js';
import { readLog } from './level-log.js';

/** What MANIFEST says of the other files. */
interface Manifest {
  /** The oldest log that is still needed; 0 where there is none yet. */
  readonly logNumber: number;
  /** Size in bytes by file number. */
  readonly tables: ReadonlyMap<number, number>;
}

/**
 * Checks the files of a closed store as far as LevelDB does not, before it opens them: opening drops damaged records of a log,
 * opens without a log that is gone, deletes tables that a shortened MANIFEST no longer lists, and maps a shortened table
 * into memory. Costs one read of the logs (up to twice the write buffer).
 *
 * Left to the seals of the values: bits that changed inside a table.
 * @throws ThinError damaged, naming the file; permission, io
 */
export async function checkLevelFiles(path: string): Promise<void> {
  try {
    const manifest = await readManifest(path);
    const files = await readdir(path);
    await checkTables(path, files, manifest);
    await checkLogs(path, files, manifest);
  } catch (error) {
    throw fileError(path, error);
  }
}

async function readManifest(path: string): Promise<Manifest> {
  const current = await readFile(join(path, 'CURRENT'), 'latin1');
  const name = /^(MANIFEST-\d+)\n$/.exec(current)?.[1];
  if (name === undefined) throw damaged(path, 'its file CURRENT names no MANIFEST');
  const state: Edits = { logNumber: 0, tables: new Map() };
  let problem: string | undefined;
  let records = 0;
  try {
    const { holeAt } = await readLog(join(path, name), (record) => {
      records++;
      problem ??= applyEdit(state, record);
    });
    if (holeAt !== undefined) problem ??= `damaged at byte ${String(holeAt)}`;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw damaged(path, `${name} is missing`);
    throw error;
  }
  if (records === 0) problem ??= 'damaged at its start';
  if (problem !== undefined) throw damaged(path, `${name} is ${problem}`);
  return state;
}

async function checkTables(path: string, files: readonly string[], manifest: Manifest): Promise<void> {
  const present = new Set(files);
  for (const [number, size] of manifest.tables) {
    const digits = String(number).padStart(6, '0');
    const name = [`${digits}.ldb`, `${digits}.sst`].find((candidate) => present.has(candidate));
    if (name === undefined) throw damaged(path, `its table ${digits}.ldb is missing`);
    const found = (await stat(join(path, name))).size;
    if (found !== size)
      throw damaged(path, `its table ${name} has ${String(found)} bytes where ${String(size)} were written`);
  }
}

async function checkLogs(path: string, files: readonly string[], manifest: Manifest): Promise<void> {
  const logs = files
    .filter((name) => /^\d+\.log$/.test(name) && Number.parseInt(name, 10) >= manifest.logNumber)
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  // LevelDB makes a log before MANIFEST names it, and syncs the folder between the two.
  if (manifest.logNumber > 0 && Number.parseInt(logs[0] ?? '', 10) !== manifest.logNumber)
    throw damaged(path, `its log ${String(manifest.logNumber).padStart(6, '0')}.log is missing`);
  for (const name of logs) {
    const { holeAt } = await readLog(join(path, name));
    if (holeAt !== undefined)
      throw damaged(
        path,
        `its log ${name} is damaged at byte ${String(holeAt)}, before batches that are well`,
      );
  }
}

interface Edits {
  logNumber: number;
  readonly tables: Map<number, number>;
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

/** @returns what is wrong with the edit, or undefined */
function applyEdit(state: Edits, record: Uint8Array): string | undefined {
  const reader = new VarintReader(record);
  const added: (readonly [number, number])[] = [];
  while (!reader.ended) {
    const tag = reader.number();
    if (tag === LOG_NUMBER) state.logNumber = reader.number();
    else if (tag === COMPARATOR) reader.skipBytes();
    else if (tag === NEXT_FILE_NUMBER || tag === LAST_SEQUENCE || tag === PREV_LOG_NUMBER) reader.number();
    else if (tag === COMPACT_POINTER) {
      reader.number();
      reader.skipBytes();
    } else if (tag === DELETED_FILE) {
      reader.number();
      state.tables.delete(reader.number());
    } else if (tag === NEW_FILE) {
      reader.number();
      added.push([reader.number(), reader.number()]);
      reader.skipBytes();
      reader.skipBytes();
    } else return `of an unknown kind (tag ${String(tag)})`;
  }
  // A table that only changes its level is deleted and added in one edit.
  for (const [number, size] of added) state.tables.set(number, size);
  return reader.overrun ? 'damaged: an entry ends too early' : undefined;
}

class VarintReader {
  overrun = false;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(): number {
    let value = 0;
    for (let scale = 1; this.#at < this.#bytes.length; scale *= 128) {
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    this.overrun = true;
    return 0;
  }

  skipBytes(): void {
    const length = this.number();
    this.#at += length;
    if (this.#at > this.#bytes.length) this.overrun = true;
  }
}

function damaged(path: string, what: string): ThinError {
  return new ThinError('damaged', `the store ${path} is damaged: ${what}; ${DAMAGED_NEXT}`, {
    details: { path },
  });
}

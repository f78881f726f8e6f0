import { constants } from 'node:fs';
import { access, mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { systemErrorCode } from '../errors/thin-error.js';
import { fileError } from './level-errors.js';

/**
 * The state of a folder for LevelDB. `unfinished`: LevelDB was stopped while it made a store, before anything
 * could be written. `headless`: tables or logs without CURRENT, which LevelDB would take for no store at all
 * and delete.
 */
export type LevelFolder = 'absent' | 'empty' | 'unfinished' | 'store' | 'headless' | 'foreign';

const LEVEL_FILE = /^(?:CURRENT|LOCK|LOG|LOG\.old|MANIFEST-\d+|\d+\.(?:log|ldb|sst|dbtmp))$/;
/** Of a file system's root, and of LevelDB's own repair. */
const IGNORED = new Set(['lost+found', 'lost']);
/**
 * Files of a pool beside its store: the link to its data, space in reserve, its commit mark (`CommitMark`),
 * its log and the log's mark.
 */
const BESIDE = /^(?:data|reserve|commit-mark(?:\.new)?|pool-log(?:\.new)?|log-mark)$/;
/** Only where a store was. */
const TELLS_OF_STORE = /^(?:\d+\.(?:log|ldb|sst)|commit-mark|pool-log)$/;

/** Of a table: LevelDB's name today, and that of its first versions. */
export function tableNames(number: number): readonly [string, string] {
  const stem = stemOf(number);
  return [`${stem}.ldb`, `${stem}.sst`];
}

/** Of one of LevelDB's own logs. */
export function logFileName(number: number): string {
  return `${stemOf(number)}.log`;
}

function stemOf(number: number): string {
  return `${number}`.padStart(6, '0');
}

/** @throws ThinError invalid-argument (no folder), permission, io */
export async function classifyFolder(path: string): Promise<LevelFolder> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 'absent';
    throw fileError(path, error);
  }
  names = names.filter((name) => !IGNORED.has(name));
  if (names.length === 0) return 'empty';
  if (names.includes('CURRENT')) return 'store';
  if (names.some((name) => !LEVEL_FILE.test(name) && !BESIDE.test(name))) return 'foreign';
  if (names.some((name) => TELLS_OF_STORE.test(name))) return 'headless';
  return names.some((name) => BESIDE.test(name)) ? 'foreign' : 'unfinished';
}

/** Removes what LevelDB left of a store that it did not finish; the folder stays. */
async function emptyFolder(path: string): Promise<void> {
  for (const name of await readdir(path))
    if (LEVEL_FILE.test(name)) await rm(join(path, name), { force: true });
}

/**
 * Makes the folder and those above it, 0700.
 * @returns how to take back exactly what was made
 * @throws ThinError permission, no-space, io, naming the path
 */
export async function makeFolder(path: string): Promise<() => Promise<void>> {
  try {
    const first = await makeMissing(path);
    return async () => {
      if (first === undefined) await emptyFolder(path);
      else await rm(first, { recursive: true, force: true });
    };
  } catch (error) {
    throw fileError(path, error);
  }
}

/**
 * What mkdir's `recursive` does, which says ENOENT for a read-only file system, and leaves the folders it did
 * make.
 * @returns the topmost folder that was made
 */
async function makeMissing(path: string): Promise<string | undefined> {
  try {
    await mkdir(path, { mode: 0o700 });
    return path;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return undefined;
    if (systemErrorCode(error) !== 'ENOENT' || dirname(path) === path) throw error;
  }
  const first = await makeMissing(dirname(path));
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (first !== undefined) await rm(first, { recursive: true, force: true });
    throw error;
  }
  return first ?? path;
}

/**
 * Makes the folder's own entries, and its entry in the folder above, durable: LevelDB does so for MANIFEST
 * only.
 */
export async function syncFolder(path: string): Promise<void> {
  for (const folder of [path, dirname(resolve(path))]) {
    const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}

/** @throws ThinError permission, io: LevelDB itself reports these only after it wrote its first files. */
export async function assertWritable(path: string): Promise<void> {
  try {
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw fileError(path, error);
  }
}

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { BATCH_HEAD, batchHeader, beginsBatchAfter } from './level-batch.js';
import { damagedStore, fileError } from './level-errors.js';
import { logFileName } from './level-folder.js';
import { readLog } from './level-log.js';
import type { LogReader } from './level-log-scan.js';
import { readManifest, type Manifest, type TableEntry } from './level-manifest.js';
import { damagedTables, lengthProblem, type FileDepth } from './level-table-check.js';

/**
 * Checks the files of a closed store as far as LevelDB does not, before it opens them: opening drops damaged
 * records of a log, opens without a log that is gone, deletes tables that a shortened MANIFEST no longer
 * lists, maps a shortened table into memory, takes blocks without a look at their checksums, and ends the
 * process where one does not hold what it expects.
 * @throws ThinError damaged, naming the file; permission, io
 */
export async function checkLevelFiles(path: string, depth: FileDepth = 'metadata'): Promise<void> {
  const found: ThinError[] = [];
  for await (const error of damagedFiles(path, depth)) found.push(error);
  const [first] = found;
  if (first === undefined) return;
  if (found.length === 1) throw first;
  throw new ThinError(
    'damaged',
    `${first.message} (${found.length - 1} more places are damaged; thinfuse repair lists what is lost)`,
    { details: { path, places: found.length } },
  );
}

/**
 * Yields the damage in the files of a store, which may be open and change meanwhile. Ends at damage that
 * hides everything after it.
 * @param rest awaited after each piece of a table, of about 1 MiB, with the milliseconds that it took
 * @throws ThinError permission, io
 */
export async function* damagedFiles(
  path: string,
  depth: FileDepth,
  rest?: (worked: number) => Promise<unknown>,
): AsyncGenerator<ThinError> {
  try {
    const manifest = await readManifest(path);
    const tables: TableEntry[] = [];
    for (const table of manifest.tables.values()) {
      const problem = await lengthProblem(path, table);
      if (problem === undefined) tables.push(table);
      else yield problem;
    }
    yield* await damagedLogs(path);
    yield* damagedTables(path, tables, { depth, rest });
  } catch (error) {
    const failed = fileError(path, error);
    if (failed.code !== 'damaged') throw failed;
    yield failed;
  }
}

/**
 * Where the store is in use, a log may become a table meanwhile: what is found then is nothing, and the logs
 * are read again.
 */
async function damagedLogs(path: string): Promise<readonly ThinError[]> {
  for (;;) {
    const manifest = await readManifest(path);
    const found = await logProblems(path, manifest);
    if (found.length === 0 || (await readManifest(path)).logNumber === manifest.logNumber) return found;
  }
}

async function logProblems(path: string, manifest: Manifest): Promise<readonly ThinError[]> {
  const logs = await neededLogs(path, manifest);
  // LevelDB makes a log before MANIFEST names it, and syncs the folder between the two.
  if (manifest.logNumber > 0 && logs[0]?.number !== manifest.logNumber)
    return [damagedStore(path, `its log ${logFileName(manifest.logNumber)} is missing`)];
  const problems: ThinError[] = [];
  const sequence = new LogSequence(manifest);
  let cut: string | undefined;
  for (const { name } of logs) {
    const before = sequence.records;
    const end = await readLog(join(path, name), sequence).catch(unlessMissing);
    if (end === undefined) return [damagedStore(path, `its log ${name} is missing`)];
    const { badAt, damage } = end;
    if (cut !== undefined && sequence.records > before) problems.push(damagedStore(path, cut));
    if (badAt === undefined) continue;
    const where = `its log ${name} is damaged at byte ${badAt}`;
    if (damage !== undefined) problems.push(damagedStore(path, `${where}: ${damage}`));
    else cut = `${where}, before a log that is well`;
  }
  return problems;
}

function unlessMissing(error: unknown): undefined {
  if (systemErrorCode(error) !== 'ENOENT') throw error;
}

/** In the order in which they were written. */
export async function neededLogs(
  path: string,
  manifest: Pick<Manifest, 'logNumber'>,
): Promise<readonly { name: string; number: number }[]> {
  return (await readdir(path))
    .filter((name) => /^\d+\.log$/.test(name))
    .map((name) => ({ name, number: Number.parseInt(name, 10) }))
    .filter(({ number }) => number >= manifest.logNumber)
    .sort((a, b) => a.number - b.number);
}

/** Batches of one log after another: each begins with the number that the one before it ended at. */
export class LogSequence implements LogReader {
  readonly headBytes: number = BATCH_HEAD;
  records = 0;
  /** The first batch of all has a number that leaves some out which MANIFEST does not know of. */
  isBehindGap = false;
  /** The number of the first change that is still to come; undefined: of none so far. */
  #next: number | undefined;
  /** Above every number that MANIFEST knew of. */
  readonly #known: number;

  constructor(manifest: Pick<Manifest, 'lastSequence'>) {
    this.#known = manifest.lastSequence + 1;
  }

  record(data: Uint8Array): string | undefined {
    const header = batchHeader(data);
    if (header === undefined) return 'a batch ends too early';
    const { sequence, count } = header;
    this.isBehindGap = this.#next === undefined && sequence > this.#known;
    if (this.isBehindGap) return 'batches that belong before it are missing, or MANIFEST is older';
    if (this.#next !== undefined && sequence !== this.#next)
      return 'batches that belong before it are missing';
    this.#next = sequence + count;
    this.records++;
    return undefined;
  }

  follows(head: Uint8Array, gap: number): boolean {
    return beginsBatchAfter(head, { from: this.#next ?? 1, to: this.#next ?? this.#known, gap });
  }
}

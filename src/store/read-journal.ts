import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';
import { damage } from '../format/damage.js';
import {
  findJournalRecords,
  JournalKind,
  unpackJournal,
  type StoredRecord,
} from '../format/journal-record.js';
import { unpackJournalState, type JournalState } from '../format/journal-state.js';
import { unpackOldJournal } from '../format/old-journal.js';
import { journalFiles, STATE_FILE } from './journal-writer.js';

const FILE = /^(\d+)\.\d+\.\d$/;
/** Bytes of the state where records had no checksums. */
const OLD_STATE_BYTES = 4;

/** What an earlier process left. */
export interface LeftJournal {
  /** Everything that it answered and did not commit, in the order in which it was done. */
  readonly records: readonly StoredRecord[];
  readonly retired: number;
  /** The process that wrote to it last, and the first one whose files are all there. */
  readonly incarnation: number;
  readonly oldest: number;
}

/** Of the process that wrote a file of the journal; undefined where it is none. */
export function incarnationOf(fileName: string): number | undefined {
  const number = FILE.exec(fileName)?.[1];
  return number === undefined ? undefined : Number(number);
}

/** @throws ThinError damaged (not all of it is there, or as it was written) */
export async function readJournal(folder: string): Promise<LeftJournal> {
  const file = path.join(folder, STATE_FILE);
  const bytes = await readFile(file).catch(() => undefined);
  if (bytes === undefined)
    throw new ThinError(
      'damaged',
      `${folder} does not have all that the last daemon has answered (its disk was full, or somebody was at it)`,
    );
  const left =
    bytes.length === OLD_STATE_BYTES
      ? await readOld(folder, bytes.readUInt32LE(), Infinity)
      : await readWhole(folder, unpackState(bytes, file, folder));
  return { ...left, records: left.records.toSorted((x, y) => (x.sequence < y.sequence ? -1 : 1)) };
}

function unpackState(bytes: Uint8Array, file: string, folder: string): JournalState {
  try {
    return unpackJournalState(bytes, file);
  } catch (error) {
    throw unusable(folder, error, []);
  }
}

async function readWhole(folder: string, state: JournalState): Promise<LeftJournal> {
  const { retired, oldest, newest } = state;
  const old = await readOld(folder, retired, oldest);
  const records = [...old.records];
  let problem: unknown;
  for (let incarnation = oldest; incarnation <= newest; incarnation++)
    for (const name of journalFiles(incarnation)) {
      const place = path.join(folder, name);
      // Small and many, and nobody is served yet.
      const file = existsSync(place) ? readFileSync(place) : undefined;
      try {
        if (file === undefined) throw damage(place, 'it is missing');
        records.push(...unpackJournal(file, { name, retired, path: place }));
      } catch (error) {
        problem ??= error;
        if (file !== undefined)
          records.push(
            ...[...findJournalRecords(file, name)].filter(({ generation }) => generation > retired),
          );
      }
    }
  if (problem !== undefined) throw unusable(folder, problem, records);
  return { records, retired, incarnation: newest, oldest };
}

/** Files of processes before `until`, which are as whole as they can tell. */
async function readOld(folder: string, retired: number, until: number): Promise<LeftJournal> {
  const records: StoredRecord[] = [];
  let incarnation = 0;
  for (const name of await readdir(folder)) {
    const number = incarnationOf(name);
    if (number === undefined || number >= until) continue;
    incarnation = Math.max(incarnation, number);
    records.push(...unpackOldJournal(await readFile(path.join(folder, name)), retired));
  }
  return { records, retired, incarnation, oldest: incarnation + 1 };
}

/** Ranges of blocks that a message names. */
const MOST_RANGES = 12;

/** @param found what of it can be read: of what was written there, it is not known what is missing */
function unusable(folder: string, problem: unknown, found: readonly StoredRecord[]): ThinError {
  const reason = problem instanceof Error ? problem.message.replace(/; run .*$/, '') : String(problem);
  return new ThinError(
    'damaged',
    `the journal ${folder} cannot be gone on with: ${reason}. What was synced is in the pool, whose mounts have failed: start it again. What was answered since the last commit is lost${placesOf(found)}`,
    { details: { path: folder } },
  );
}

function placesOf(records: readonly StoredRecord[]): string {
  const places = new Map<string, Set<number>>();
  const note = (what: string, number: number): void => {
    const numbers = places.get(what) ?? new Set<number>();
    places.set(what, numbers.add(number));
  };
  for (const { kind, device, block, chunk, run } of records)
    if (kind === JournalKind.DATA || kind === JournalKind.PAGES) note('chunks', chunk);
    else for (let i = 0; i < Math.max(1, run); i++) note(`device ${device}, blocks`, block + i);
  const texts = [...places].flatMap(([what, numbers]) =>
    rangesOf([...numbers].sort((x, y) => x - y)).map((range) => `${what} ${range}`),
  );
  if (texts.length === 0) return '';
  const more = texts.length > MOST_RANGES ? ` and ${texts.length - MOST_RANGES} more ranges` : '';
  return `, at least: ${texts.slice(0, MOST_RANGES).join('; ')}${more}`;
}

function rangesOf(numbers: readonly number[]): string[] {
  const ranges: string[] = [];
  for (let at = 0; at < numbers.length;) {
    let end = at + 1;
    while (numbers[end] === numbers[at]! + end - at) end++;
    ranges.push(end - at === 1 ? String(numbers[at]) : `${numbers[at]} to ${numbers[end - 1]}`);
    at = end;
  }
  return ranges;
}

import { readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { describeKey } from '../format/keys.js';
import { sealState } from '../format/sealed-entry.js';
import { batchHeader, unpackBatch, type BatchChange } from './level-batch.js';
import { LogSequence, neededLogs } from './level-check.js';
import { fileError } from './level-errors.js';
import { readLog } from './level-log.js';
import type { LogEnd } from './level-log-scan.js';
import { readManifest, readManifestFile, type Manifest, type TableEntry } from './level-manifest.js';
import type { BlockHandle } from './level-table.js';
import { openTable } from './level-table-check.js';
import { salvageTable, type LostKeys, type TableSalvage } from './level-table-salvage.js';

/** What did not come through, and why. */
export interface Lost {
  readonly path: string;
  readonly problem: string;
}

/** Where the newest value of a key is. */
export type Place = { readonly sequence: number; readonly rank: Rank } & (
  | { readonly kind: 'deleted' | 'lost' }
  | { readonly kind: 'log'; readonly value: Uint8Array }
  | { readonly kind: 'table'; readonly file: FileHandle; readonly block: BlockHandle }
);

/**
 * How new a source is: what a key has in a higher rank is newer. If MANIFEST is lost, the rank of tables is
 * unknown (`undefined`), and sequence numbers decide.
 */
type Rank = number | undefined;
const LOG_RANK = Infinity;

export interface SalvagedFiles {
  readonly lost: readonly Lost[];
  readonly places: ReadonlyMap<string, Place>;
  isLost(key: Uint8Array): boolean;
  readonly files: readonly FileHandle[];
}

/** @throws ThinError permission, io */
export async function salvageFiles(path: string): Promise<SalvagedFiles> {
  const salvage = new Salvage(path);
  try {
    await salvage.run();
    return salvage;
  } catch (error) {
    for (const file of salvage.files) await file.close();
    throw fileError(path, error);
  }
}

class Salvage implements SalvagedFiles {
  readonly lost: Lost[] = [];
  readonly places = new Map<string, Place>();
  readonly files: FileHandle[] = [];
  readonly #path: string;
  readonly #ranges: (Extract<LostKeys, { from: Uint8Array }> & { readonly rank: Rank })[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  async run(): Promise<void> {
    const found = await this.#manifest();
    const manifest = found !== undefined && (await this.#isOlder(found)) ? undefined : found;
    const tables = manifest === undefined ? await this.#allTables() : [...manifest.tables.values()];
    for (const table of tables) await this.#readTable(table);
    await this.#readLogs(manifest);
  }

  isLost(key: Uint8Array): boolean {
    const place = this.places.get(textOf(key));
    if (place?.kind === 'lost') return true;
    return this.#ranges.some(
      ({ from, to, whole, rank }) =>
        !isNewer(place?.rank, rank) &&
        Buffer.compare(key, to) <= 0 &&
        Buffer.compare(key, from) >= (whole ? 0 : 1),
    );
  }

  /** Undefined: none can be read whole. */
  async #manifest(): Promise<Manifest | undefined> {
    const named = await readManifest(this.#path).catch(unlessDamaged);
    if (named !== undefined) return named;
    const names = (await readdir(this.#path)).filter((name) => /^MANIFEST-\d+$/.test(name)).sort();
    for (const name of names.reverse()) {
      const found = await readManifestFile(this.#path, name).catch(unlessDamaged);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /**
   * Whether MANIFEST has lost its last edits: it then lists tables that were merged into others since, and
   * logs that became tables.
   */
  async #isOlder(manifest: Manifest): Promise<boolean> {
    const logs = await neededLogs(this.#path, manifest);
    if (manifest.logNumber > 0 && logs[0]?.number !== manifest.logNumber) {
      this.lost.push({
        path: 'log',
        problem: `log ${manifest.logNumber} is missing, and the commits in it, if there were any`,
      });
      return (await this.#allTables()).some(({ number }) => number > manifest.logNumber);
    }
    const sequence = new LogSequence(manifest);
    if (logs[0] !== undefined) await readLog(join(this.#path, logs[0].name), sequence);
    return sequence.isBehindGap;
  }

  async #allTables(): Promise<readonly Pick<TableEntry, 'number'>[]> {
    return (await readdir(this.#path))
      .filter((name) => /^\d+\.(?:ldb|sst)$/.test(name))
      .map((name) => ({ number: Number.parseInt(name, 10) }));
  }

  async #readTable(table: TableEntry | Pick<TableEntry, 'number'>): Promise<void> {
    const known = 'level' in table ? table : undefined;
    const rank = known === undefined ? undefined : known.level === 0 ? known.number : -known.level;
    const found = await openTable(this.#path, table.number);
    if (found === undefined) {
      if (known === undefined) return;
      this.#ranges.push({ from: known.first, to: known.last, whole: true, rank });
      this.lost.push({
        path: `table ${table.number}`,
        problem: `it is missing: ${span(known.first, known.last)}`,
      });
      return;
    }
    const { file, name } = found;
    this.files.push(file);
    const salvage: TableSalvage = {
      entry: ({ key, sequence, type }, block) =>
        this.#add(
          key,
          type === 0 ? { kind: 'deleted', sequence, rank } : { kind: 'table', sequence, rank, file, block },
        ),
      lost: (what, problem) => {
        if ('keys' in what) {
          for (const { key, sequence } of what.keys) this.#add(key, { kind: 'lost', sequence, rank });
          const keys = what.keys.map(({ key }) => describeKey(key));
          if (keys.length > 0) this.lost.push({ path: name, problem: `${problem}: ${keys.join(', ')}` });
        } else {
          this.#ranges.push({ ...what, rank });
          this.lost.push({ path: name, problem: `${problem}: ${span(what.from, what.to)}` });
        }
      },
    };
    await salvageTable(file, known, salvage);
  }

  async #readLogs(manifest: Manifest | undefined): Promise<void> {
    const logs = await neededLogs(this.#path, manifest ?? { logNumber: 0 });
    if (manifest !== undefined && manifest.logNumber > 0 && logs[0]?.number !== manifest.logNumber) return;
    const shape = manifest ?? { lastSequence: Number.MAX_SAFE_INTEGER - 1 };
    const batches = new Batches(shape, (change, isLost) => {
      const { key, value, sequence } = change;
      const at = { sequence, rank: manifest === undefined ? undefined : LOG_RANK };
      if (isLost) this.#add(key, { kind: 'lost', ...at });
      else this.#add(key, value === undefined ? { kind: 'deleted', ...at } : { kind: 'log', value, ...at });
    });
    const sequence = new LogSequence(shape);
    let cut: string | undefined;
    for (const { name } of logs) {
      const file = join(this.#path, name);
      const before = sequence.records;
      const first = await readLog(file, sequence);
      if (cut !== undefined) {
        if (sequence.records > before)
          this.lost.push({ path: name, problem: `it follows ${cut}, so that none of its commits counts` });
        continue;
      }
      batches.damagedBefore = first.damage === undefined ? 0 : first.lastBehindAt;
      const end = await readLog(file, batches);
      if (end.badAt === undefined) continue;
      cut = name;
      if (first.damage !== undefined) this.lost.push({ path: name, problem: lostCommits(end) });
    }
    this.lost.push(...batches.lost);
  }

  #add(key: Uint8Array, place: Place): void {
    const text = textOf(key);
    const known = this.places.get(text);
    if (
      known === undefined ||
      isNewer(place.rank, known.rank) ||
      (!isNewer(known.rank, place.rank) && place.sequence >= known.sequence)
    )
      this.places.set(text, place);
  }
}

/** The batches of logs, and of a damaged one what its seals show to be well. */
class Batches extends LogSequence {
  override readonly headBytes = Infinity;
  /** Bytes of the log before which a damaged batch was once whole. */
  damagedBefore = 0;
  readonly lost: Lost[] = [];
  readonly #onChange: (change: BatchChange, isLost: boolean) => void;

  constructor(
    manifest: Pick<Manifest, 'lastSequence'>,
    onChange: (change: BatchChange, isLost: boolean) => void,
  ) {
    super(manifest);
    this.#onChange = onChange;
  }

  override record(data: Uint8Array): string | undefined {
    const changes = unpackBatch(data);
    if (changes === undefined) return 'a batch ends too early';
    const problem = super.record(data);
    if (problem === undefined) for (const change of changes) this.#onChange(change, false);
    return problem;
  }

  damagedRecord(data: Uint8Array, at: number): boolean {
    const header = batchHeader(data);
    const changes = unpackBatch(data);
    if (at >= this.damagedBefore || header === undefined || changes === undefined) return false;
    const states = changes.map(({ key, value }) => (value === undefined ? 'well' : sealState(key, value)));
    // If every seal holds, the fault is unknown: perhaps it is in the key of a deletion.
    if (states.includes('foreign') || !states.includes('damaged') || super.record(data) !== undefined)
      return false;
    changes.forEach((change, i) => {
      const isLost = states[i] === 'damaged';
      this.#onChange(change, isLost);
      if (isLost)
        this.lost.push({ path: describeKey(change.key), problem: 'its newest value is damaged in the log' });
    });
    return true;
  }
}

/** CURRENT may be missing, too. */
function unlessDamaged(error: unknown): undefined {
  if (systemErrorCode(error) === 'ENOENT') return;
  if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
}

function lostCommits({ badAt, behind }: LogEnd): string {
  const whole = behind > 0 ? `, and ${behind} behind it that mean nothing without it` : '';
  return `the commit at byte ${badAt} is lost${whole}: everything is as before that commit, except the data of a direct pool`;
}

function span(from: Uint8Array, to: Uint8Array): string {
  return `what lies from ${describeKey(from)} to ${describeKey(to)} is lost`;
}

function isNewer(rank: Rank, than: Rank): boolean {
  return rank !== undefined && than !== undefined && rank > than;
}

/** Sorts as the bytes do. */
export function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

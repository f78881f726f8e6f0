import { readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { damage } from '../format/damage.js';
import { firstAt } from '../format/first-at.js';
import { describeKey } from '../format/keys.js';
import type { KvRange, KvReader } from './key-value.js';
import { salvageFiles, textOf, type Lost, type Place, type SalvagedFiles } from './level-salvage-files.js';
import { BlockError, dataEntries, type BlockHandle } from './level-table.js';

/** What can be read of a store that is damaged, by ourselves: LevelDB is not asked. */
export interface SalvageReader extends KvReader {
  readonly lost: readonly Lost[];
  /**
   * Whether what was stored under the key last may be gone: then older values are not handed out, and
   * `getSync` throws `damaged`.
   */
  isLost(key: Uint8Array): boolean;
  close(): Promise<void>;
}

/**
 * Reads the tables and logs of a closed store once, and keeps in memory where the newest value of each key
 * lies (some hundred bytes a key). A log counts up to the first batch that is lost, so that the store is as
 * it was at some moment.
 * @throws ThinError permission, io
 */
export async function openSalvage(path: string): Promise<SalvageReader> {
  return new LevelSalvage(await salvageFiles(path));
}

/** Keys, before others have their turn. */
const AT_ONCE = 256;

class LevelSalvage implements SalvageReader {
  readonly lost: readonly Lost[];
  readonly #places: ReadonlyMap<string, Place>;
  readonly #salvaged: SalvagedFiles;
  #sorted: readonly string[] | undefined;
  /** The block that was read last, since entries are asked for in their order. */
  #block: { readonly file: FileHandle; readonly offset: number; readonly bytes: Buffer } | undefined;

  constructor(salvaged: SalvagedFiles) {
    this.lost = salvaged.lost;
    this.#places = salvaged.places;
    this.#salvaged = salvaged;
  }

  isLost(key: Uint8Array): boolean {
    return this.#salvaged.isLost(key);
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    if (this.isLost(key)) throw damage(describeKey(key), 'it lay in a part of the store that is damaged');
    const place = this.#places.get(textOf(key));
    return place === undefined ? undefined : this.#valueAt(key, place);
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => resolve(this.getSync(key)));
  }

  async *entries(
    range: KvRange,
    options: { values?: boolean } = {},
  ): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    const sorted = (this.#sorted ??= [...this.#places.keys()].sort());
    const [from, to] = [textOf(range.gte), textOf(range.lt)];
    const first = firstAt(sorted.length, (at) => sorted[at]! >= from);
    for (let at = first; at < sorted.length; at++) {
      const text = sorted[at]!;
      if (at % AT_ONCE === 0) await nextTurn();
      if (text >= to) return;
      const key = new Uint8Array(Buffer.from(text, 'latin1'));
      if (this.isLost(key)) continue;
      const place = this.#places.get(text)!;
      if (place.kind === 'deleted') continue;
      const value = options.values === false ? new Uint8Array(0) : this.#valueAt(key, place);
      if (value !== undefined) yield [key, value];
    }
  }

  async close(): Promise<void> {
    for (const file of this.#salvaged.files) await file.close();
  }

  #valueAt(key: Uint8Array, place: Place): Uint8Array | undefined {
    if (place.kind === 'log') return new Uint8Array(Buffer.from(place.value));
    if (place.kind !== 'table') return undefined;
    const { file, block, sequence } = place;
    try {
      for (const entry of dataEntries(this.#read(file, block)))
        if (entry.sequence === sequence && Buffer.compare(entry.key, key) === 0)
          return new Uint8Array(Buffer.from(entry.value));
    } catch (error) {
      if (!(error instanceof BlockError)) throw error;
    }
    throw damage(describeKey(key), 'it has changed since it was looked for');
  }

  #read(file: FileHandle, block: BlockHandle): Buffer {
    const known = this.#block;
    if (known?.file === file && known.offset === block.offset) return known.bytes;
    const bytes = Buffer.allocUnsafe(block.size);
    readSync(file.fd, bytes, 0, block.size, block.offset);
    this.#block = { file, offset: block.offset, bytes };
    return bytes;
  }
}

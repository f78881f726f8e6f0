import { refuseLive } from '../api/live-socket.js';
import type { RootLayout } from '../config/root-layout.js';
import { ThinError } from '../errors/thin-error.js';
import { unpackChunkBacking } from '../format/chunk-backing.js';
import { MARGIN, type DataLabel } from '../format/data-label.js';
import { chunkId } from '../format/ids.js';
import { chunkBackingKey } from '../format/keys.js';
import { unseal } from '../format/seal.js';
import type { Superblock } from '../format/superblock.js';
import type { Exec } from '../host/exec.js';
import { readSuperblock } from '../metadata/open-metadata.js';
import { mappingRuns } from '../metadata/mapping-runs.js';
import { StoredNodes } from '../metadata/metadata-view.js';
import { salvageRecords } from '../pool/salvage.js';
import { openDataFile, type DataFile } from '../store/data-file.js';
import { leastBytes, oneOf, readLabels, writeLabels } from '../store/data-labels.js';
import type { KvReader } from '../store/key-value.js';
import { openToRepair } from '../store/level-repair.js';
import { isAllocated } from './init-data.js';
import { dataPath } from './offline-data.js';
import { requirePool } from './pool-folder.js';

export interface AcceptedData {
  readonly path: string;
  /** A device whose filesystem was found where the pool has it; undefined: not looked for. */
  readonly found: string | undefined;
  /** False: a label was there. */
  readonly written: boolean;
}

interface Request {
  /** Takes data on which none of the pool's filesystems is found. */
  readonly force: boolean;
  readonly exec: Exec;
}

/** Devices that are asked for their filesystem. */
const ASKED = 16;

/**
 * Writes the labels of a `direct` pool's data again where both are lost. A label says whose data it is;
 * without one, a filesystem of the pool has to be where its metadata says.
 * Errors: already-running, no-pool, locked, invalid-argument (no `direct` pool), damaged (the superblock; the
 * data is another pool's, too short, or has no filesystem of the pool), and as `openDataFile`.
 */
export async function acceptData(layout: RootLayout, { force, exec }: Request): Promise<AcceptedData> {
  await refuseLive(layout.socket);
  requirePool(layout);
  const store = await openToRepair(layout.pool);
  try {
    const superblock = readSuperblock(store);
    const path = await dataPath(layout);
    if (superblock.kind !== 'direct' || path === undefined)
      throw new ThinError('invalid-argument', `the pool in ${layout.root} has no data outside of its store`);
    const file = await openDataFile(path);
    try {
      return await new Acceptance(store, superblock, { file, path }).run({ force, exec });
    } finally {
      await file.handle.close();
    }
  } finally {
    await store.close();
  }
}

class Acceptance {
  readonly #store: KvReader;
  readonly #superblock: Superblock;
  readonly #file: DataFile;
  readonly #path: string;

  constructor(store: KvReader, superblock: Superblock, { file, path }: { file: DataFile; path: string }) {
    this.#store = store;
    this.#superblock = superblock;
    this.#file = file;
    this.#path = path;
  }

  async run({ force, exec }: Request): Promise<AcceptedData> {
    const { uuid, blockSize, chunks } = this.#superblock;
    const label = oneOf(await readLabels(this.#file, this.#path, this.#superblock), this.#path);
    if (label !== undefined && label.uuid !== uuid)
      throw this.#refused(`it belongs to the pool ${label.uuid}, and this one is ${uuid}`);
    if (label !== undefined) return { path: this.#path, found: undefined, written: false };
    const preallocated = !this.#file.isBlockDevice && (await isAllocated(this.#file));
    const known = { uuid, blockSize, chunks, preallocated, maker: '' };
    const possible = [MARGIN, 0]
      .map((start): Omit<DataLabel, 'last'> => ({ ...known, start }))
      .filter((one) => leastBytes({ ...one, last: 0 }) <= this.#file.size);
    for (const one of possible) {
      const found = await this.#deviceAt(one.start, exec);
      if (found === undefined) continue;
      await writeLabels(this.#file, one);
      return { path: this.#path, found, written: true };
    }
    // Without evidence, it is no pool of before: it may as well be one that was cut.
    if (possible[0]?.start !== MARGIN) throw this.#tooShort({ ...known, start: MARGIN, last: 0 });
    if (!force)
      throw this.#refused(
        'no filesystem of a device is where the pool has it; if you know that it is the right one, give --force',
      );
    await writeLabels(this.#file, possible[0]);
    return { path: this.#path, found: undefined, written: true };
  }

  /** A device whose filesystem is there, if chunk 0 begins at `start`. */
  async #deviceAt(start: number, exec: Exec): Promise<string | undefined> {
    for (const { name, chunk } of await this.#firstChunks()) {
      const offset = start + chunk * this.#superblock.blockSize;
      const flags = ['--probe', '--offset', String(offset), '--output', 'value', '--match-tag', 'TYPE'];
      // 2: nothing found, 8: several signatures contradict each other (blkid(8)).
      const { code, stdout } = await exec.run('blkid', [...flags, this.#path], { okCodes: [0, 2, 8] });
      if (code === 0 && stdout.trim() !== '') return name;
    }
    return undefined;
  }

  /** Chunks at which devices begin. */
  async #firstChunks(): Promise<readonly { readonly name: string; readonly chunk: number }[]> {
    const nodes = new StoredNodes(this.#store);
    const found = new Map<number, string>();
    const ignored = (): void => {
      // What cannot be read is no evidence.
    };
    for (const { name, root } of (await salvageRecords(this.#store)).devices) {
      if (found.size >= ASKED) break;
      for await (const { begin, chunk } of mappingRuns(nodes, root, ignored)) {
        if (begin === 0) for (const one of [chunk, this.#backingOf(chunk)]) found.set(one, name);
        break;
      }
    }
    return [...found].map(([chunk, name]) => ({ name, chunk }));
  }

  /** Of a chunk that is partial, the one that has the rest; its own number otherwise. */
  #backingOf(chunk: number): number {
    try {
      const value = this.#store.getSync(chunkBackingKey(chunkId(chunk)));
      if (value === undefined) return chunk;
      return unpackChunkBacking(unseal('chunk-backing', chunk, value, 'backing'), 'backing').backing;
    } catch {
      return chunk;
    }
  }

  #tooShort(label: DataLabel): ThinError {
    const [needed, { size, isBlockDevice }] = [leastBytes(label), this.#file];
    const longer = isBlockDevice
      ? 'make it as long again'
      : `lengthen it first (truncate --size ${needed} ${this.#path}), and what was cut off reads as zeroes`;
    return this.#refused(`it has ${size} bytes, and the pool needs ${needed}; ${longer}`);
  }

  #refused(problem: string): ThinError {
    return new ThinError('damaged', `${this.#path} is not taken as the data of the pool: ${problem}`, {
      details: { path: this.#path },
    });
  }
}

import assert from 'node:assert/strict';
import { damage } from '../format/damage.js';
import { chunkId, type ChunkId } from '../format/ids.js';
import { remoteImageKey, remoteSheetKey, describeKey } from '../format/keys.js';
import { packRemoteImage, unpackRemoteImage, type RemoteImage } from '../format/remote-image.js';
import {
  packRemoteSheet,
  REMOTE_PER_SHEET,
  unpackRemoteSheet,
  type RemoteEntry,
} from '../format/remote-sheet.js';
import { seal } from '../format/seal.js';
import type { KvOperation } from '../store/key-value.js';
import { ChangedRecords, putOrDelete, type CollectedChanges } from './changed-records.js';

/** An image in a store elsewhere, and how much of it is still there alone. */
export interface KnownImage extends RemoteImage {
  readonly id: number;
  /** Chunks. */
  readonly left: number;
}

interface Image {
  readonly record: RemoteImage;
  /** A caller is about to map chunks of it. */
  held: boolean;
}

/**
 * Which chunks are remote: their bytes are in a store elsewhere, and not here. Eight bytes a chunk where
 * there are any. An image of which no chunk is remote any more is forgotten.
 */
export class RemoteTable {
  /** Of each chunk its image, or 0, and its block; a sheet that has none is not there. */
  readonly #sheets = new Map<number, Uint32Array>();
  /** Chunks that are remote: by sheet, by image, by family of the image. */
  readonly #inSheet = new Map<number, number>();
  readonly #left = new Map<number, number>();
  readonly #leftOf = new Map<number, number>();
  readonly #damaged = new Set<number>();
  readonly #images = new Map<number, Image>();
  readonly #changedSheets = new ChangedRecords<number>();
  readonly #changedImages = new ChangedRecords<number>();
  #count = 0;
  #lastImage = 0;

  get isDirty(): boolean {
    return !this.#changedSheets.isEmpty || !this.#changedImages.isEmpty;
  }

  /** Remote chunks. */
  get count(): number {
    return this.#count;
  }

  /** What the superblock says of it: undefined where programs that know nothing of this may open the pool. */
  get total(): number | undefined {
    return this.#count === 0 && this.#images.size === 0 ? undefined : this.#count;
  }

  /** @throws ThinError damaged, naming `path` */
  loadSheet(sheet: number, body: Uint8Array, path: string): void {
    try {
      unpackRemoteSheet(body, path, (index, entry) => {
        this.#store(sheet * REMOTE_PER_SHEET + index, entry);
      });
    } catch (error) {
      this.noteDamaged(sheet);
      throw error;
    }
  }

  /** It is unknown which chunks of this sheet are remote. */
  noteDamaged(sheet: number): void {
    this.#damaged.add(sheet);
  }

  /** @throws ThinError damaged, naming `path` */
  loadImage(id: number, body: Uint8Array, path: string): void {
    const record = unpackRemoteImage(body, path);
    this.#remove(id);
    this.#images.set(id, { record, held: false });
    add(this.#leftOf, record.family, this.#leftIn(id));
    this.#lastImage = Math.max(this.#lastImage, id);
  }

  /** As `get`, of what can be read. */
  peek(chunk: ChunkId): RemoteEntry | undefined {
    return this.#get(chunk);
  }

  /** @throws ThinError damaged */
  get(chunk: ChunkId): RemoteEntry | undefined {
    const sheet = Math.floor(chunk / REMOTE_PER_SHEET);
    if (this.#damaged.has(sheet))
      throw damage(
        describeKey(remoteSheetKey(sheet)),
        'it cannot be read, so the places of its chunks are unknown',
      );
    return this.#get(chunk);
  }

  /** Undefined: its record is damaged or lost. */
  image(id: number): KnownImage | undefined {
    const image = this.#images.get(id);
    return image && { ...image.record, id, left: this.#leftIn(id) };
  }

  /** Ascending by id. */
  images(): readonly KnownImage[] {
    return [...this.#images]
      .map(([id, { record }]) => ({ ...record, id, left: this.#leftIn(id) }))
      .sort((x, y) => x.id - y.id);
  }

  /** One whose chunks are about to become remote; it stays until it is released, whatever becomes of them. */
  addImage(record: RemoteImage): number {
    const id = this.#lastImage + 1;
    this.#lastImage = id;
    this.#images.set(id, { record, held: true });
    this.#changedImages.note(id);
    return id;
  }

  /** Whether the rest of it is to be fetched in the background. */
  setHydrating(id: number, isHydrating: boolean): void {
    const image = this.#images.get(id);
    if (image === undefined || image.record.isHydrating === isHydrating) return;
    this.#images.set(id, { ...image, record: { ...image.record, isHydrating } });
    this.#changedImages.note(id);
  }

  /** Chunks of a family's devices that may be remote: exact for a device that was just pulled. */
  leftOf(family: number): number {
    return this.#leftOf.get(family) ?? 0;
  }

  releaseImage(id: number): void {
    const image = this.#images.get(id);
    if (image === undefined) return;
    image.held = false;
    this.#removeUnused(id, image);
  }

  /** The chunk, which was taken and is not mapped so far, is remote. */
  set(chunk: ChunkId, entry: RemoteEntry): void {
    assert(this.#get(chunk) === undefined && this.#images.has(entry.image), 'a chunk becomes remote once');
    this.#store(chunk, entry);
    this.#changedSheets.note(Math.floor(chunk / REMOTE_PER_SHEET));
  }

  /** Its bytes are here, or are not needed any more. False: it was not remote. */
  take(chunk: ChunkId): boolean {
    const entry = this.#get(chunk);
    if (entry === undefined) return false;
    const sheet = Math.floor(chunk / REMOTE_PER_SHEET);
    const entries = this.#sheets.get(sheet)!;
    entries.fill(0, 2 * (chunk % REMOTE_PER_SHEET), 2 * (chunk % REMOTE_PER_SHEET) + 2);
    this.#note(sheet, entry.image, -1);
    if (!this.#inSheet.has(sheet)) this.#sheets.delete(sheet);
    this.#changedSheets.note(sheet);
    const image = this.#images.get(entry.image);
    if (image !== undefined) this.#removeUnused(entry.image, image);
    return true;
  }

  /** Remote chunks, ascending within a sheet. The table may change meanwhile. */
  *all(): Generator<{ readonly chunk: ChunkId; readonly entry: RemoteEntry }> {
    for (const [sheet, entries] of this.#sheets)
      for (let index = 0; index < REMOTE_PER_SHEET; index++) {
        const [image, block] = [entries[2 * index]!, entries[2 * index + 1]!];
        if (image !== 0) yield { chunk: chunkId(sheet * REMOTE_PER_SHEET + index), entry: { image, block } };
      }
  }

  /** First chunks of sheets that are damaged, and how many each has. */
  *damaged(): Generator<{ readonly first: number; readonly count: number }> {
    for (const sheet of this.#damaged) yield { first: sheet * REMOTE_PER_SHEET, count: REMOTE_PER_SHEET };
  }

  /** Operations for everything changed since the last call, and the way back. */
  collect(): CollectedChanges {
    const sheets = this.#changedSheets.collect((sheet) => this.#sheetOperation(sheet));
    const images = this.#changedImages.collect((id) => this.#imageOperation(id));
    return {
      operations: [...sheets.operations, ...images.operations],
      undo: () => {
        sheets.undo();
        images.undo();
      },
    };
  }

  /** All of it, for a store that has nothing of it. */
  operations(): readonly KvOperation[] {
    return [
      ...[...this.#sheets.keys()].map((sheet) => this.#sheetOperation(sheet)),
      ...[...this.#images.keys()].map((id) => this.#imageOperation(id)),
    ].filter(({ type }) => type === 'put');
  }

  #sheetOperation(sheet: number): KvOperation {
    const hasAny = this.#sheets.get(sheet)?.some((word) => word !== 0) === true;
    const pack = (): Uint8Array =>
      packRemoteSheet((index) => this.#get(chunkId(sheet * REMOTE_PER_SHEET + index)));
    return putOrDelete(remoteSheetKey(sheet), hasAny ? seal('remote-sheet', sheet, pack()) : undefined);
  }

  #imageOperation(id: number): KvOperation {
    const image = this.#images.get(id);
    return putOrDelete(remoteImageKey(id), image && seal('remote-image', id, packRemoteImage(image.record)));
  }

  #removeUnused(id: number, { held }: Image): void {
    if (this.#leftIn(id) > 0 || held) return;
    this.#remove(id);
    this.#changedImages.note(id);
  }

  #remove(id: number): void {
    const image = this.#images.get(id);
    if (image === undefined) return;
    this.#images.delete(id);
    add(this.#leftOf, image.record.family, -this.#leftIn(id));
  }

  #leftIn(id: number): number {
    return this.#left.get(id) ?? 0;
  }

  #note(sheet: number, image: number, by: 1 | -1): void {
    this.#count += by;
    add(this.#inSheet, sheet, by);
    add(this.#left, image, by);
    const family = this.#images.get(image)?.record.family;
    if (family !== undefined) add(this.#leftOf, family, by);
  }

  #get(chunk: number): RemoteEntry | undefined {
    const entries = this.#sheets.get(Math.floor(chunk / REMOTE_PER_SHEET));
    const image = entries?.[2 * (chunk % REMOTE_PER_SHEET)] ?? 0;
    return image === 0 ? undefined : { image, block: entries![2 * (chunk % REMOTE_PER_SHEET) + 1]! };
  }

  #store(chunk: number, { image, block }: RemoteEntry): void {
    const sheet = Math.floor(chunk / REMOTE_PER_SHEET);
    let entries = this.#sheets.get(sheet);
    if (entries === undefined) this.#sheets.set(sheet, (entries = new Uint32Array(2 * REMOTE_PER_SHEET)));
    entries[2 * (chunk % REMOTE_PER_SHEET)] = image;
    entries[2 * (chunk % REMOTE_PER_SHEET) + 1] = block;
    this.#note(sheet, image, 1);
  }
}

/** A count of 0 takes no room. */
function add(counts: Map<number, number>, key: number, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

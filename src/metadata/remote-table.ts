import assert from 'node:assert/strict';
import { damage } from '../format/damage.js';
import { chunkId, type ChunkId } from '../format/ids.js';
import { remoteImageKey, remotePageKey, describeKey } from '../format/keys.js';
import { packRemoteImage, unpackRemoteImage, type RemoteImage } from '../format/remote-image.js';
import {
  packRemotePage,
  REMOTE_PER_PAGE,
  unpackRemotePage,
  type RemoteEntry,
} from '../format/remote-page.js';
import { seal } from '../format/seal.js';
import type { KvOperation } from '../store/key-value.js';

/** An image in a store elsewhere, and how much of it is still there alone. */
export interface KnownImage extends RemoteImage {
  readonly id: number;
  /** Chunks. */
  readonly left: number;
}

interface Image {
  readonly record: RemoteImage;
  left: number;
  /** Somebody is about to map chunks of it. */
  held: boolean;
}

/**
 * Which chunks are remote: their bytes are in a store elsewhere, and not here. Eight bytes a chunk where
 * there are any. An image of which no chunk is remote any more is forgotten.
 */
export class RemoteTable {
  /** Of each chunk its image, or 0, and its block. */
  readonly #pages = new Map<number, Uint32Array>();
  readonly #damaged = new Set<number>();
  readonly #images = new Map<number, Image>();
  #dirtyPages = new Set<number>();
  #dirtyImages = new Set<number>();
  #count = 0;
  #lastImage = 0;

  get isDirty(): boolean {
    return this.#dirtyPages.size > 0 || this.#dirtyImages.size > 0;
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
  loadPage(page: number, body: Uint8Array, path: string): void {
    try {
      unpackRemotePage(body, path, (index, entry) => {
        this.#store(page * REMOTE_PER_PAGE + index, entry);
      });
    } catch (error) {
      this.noteDamaged(page);
      throw error;
    }
  }

  /** Of the chunks of this page, nobody knows which are remote. */
  noteDamaged(page: number): void {
    this.#damaged.add(page);
  }

  /** @throws ThinError damaged, naming `path` */
  loadImage(id: number, body: Uint8Array, path: string): void {
    const known = this.#images.get(id);
    this.#images.set(id, {
      record: unpackRemoteImage(body, path),
      left: known?.left ?? this.#countOf(id),
      held: false,
    });
    this.#lastImage = Math.max(this.#lastImage, id);
  }

  /** As `get`, of what can be read. */
  peek(chunk: ChunkId): RemoteEntry | undefined {
    return this.#get(chunk);
  }

  /** @throws ThinError damaged */
  get(chunk: ChunkId): RemoteEntry | undefined {
    const page = Math.floor(chunk / REMOTE_PER_PAGE);
    if (this.#damaged.has(page))
      throw damage(
        describeKey(remotePageKey(page)),
        'it cannot be read, and nobody knows which of its chunks are here',
      );
    return this.#get(chunk);
  }

  /** Undefined: its record is damaged or lost. */
  image(id: number): KnownImage | undefined {
    const image = this.#images.get(id);
    return image && { ...image.record, id, left: image.left };
  }

  /** Ascending by id. */
  images(): readonly KnownImage[] {
    return [...this.#images]
      .map(([id, { record, left }]) => ({ ...record, id, left }))
      .sort((x, y) => x.id - y.id);
  }

  /** One whose chunks are about to become remote; it stays until it is released, whatever becomes of them. */
  addImage(record: RemoteImage): number {
    const id = this.#lastImage + 1;
    this.#lastImage = id;
    this.#images.set(id, { record, left: 0, held: true });
    this.#dirtyImages.add(id);
    return id;
  }

  /** Whether the rest of it is to be fetched in the background. */
  setHydrating(id: number, isHydrating: boolean): void {
    const image = this.#images.get(id);
    if (image === undefined || image.record.isHydrating === isHydrating) return;
    this.#images.set(id, { ...image, record: { ...image.record, isHydrating } });
    this.#dirtyImages.add(id);
  }

  /** Chunks of a family's devices that may be remote: exact for a device that was just pulled. */
  leftOf(family: number): number {
    let left = 0;
    for (const image of this.#images.values()) if (image.record.family === family) left += image.left;
    return left;
  }

  releaseImage(id: number): void {
    const image = this.#images.get(id);
    if (image === undefined) return;
    image.held = false;
    this.#forgetUnused(id, image);
  }

  /** The chunk, which was taken and is not mapped so far, is remote. */
  set(chunk: ChunkId, entry: RemoteEntry): void {
    assert(this.#get(chunk) === undefined && this.#images.has(entry.image), 'a chunk becomes remote once');
    this.#store(chunk, entry);
    this.#images.get(entry.image)!.left++;
    this.#dirtyPages.add(Math.floor(chunk / REMOTE_PER_PAGE));
  }

  /** Its bytes are here, or nobody wants them any more. False: it was not remote. */
  take(chunk: ChunkId): boolean {
    const entry = this.#get(chunk);
    if (entry === undefined) return false;
    const page = Math.floor(chunk / REMOTE_PER_PAGE);
    const entries = this.#pages.get(page)!;
    entries.fill(0, 2 * (chunk % REMOTE_PER_PAGE), 2 * (chunk % REMOTE_PER_PAGE) + 2);
    this.#count--;
    this.#dirtyPages.add(page);
    const image = this.#images.get(entry.image);
    if (image !== undefined) {
      image.left--;
      this.#forgetUnused(entry.image, image);
    }
    return true;
  }

  /** Remote chunks, ascending within a page. The table may change meanwhile. */
  *all(): Generator<{ readonly chunk: ChunkId; readonly entry: RemoteEntry }> {
    for (const [page, entries] of this.#pages)
      for (let index = 0; index < REMOTE_PER_PAGE; index++) {
        const [image, block] = [entries[2 * index]!, entries[2 * index + 1]!];
        if (image !== 0) yield { chunk: chunkId(page * REMOTE_PER_PAGE + index), entry: { image, block } };
      }
  }

  /** First chunks of pages that are damaged, and how many each has. */
  *damaged(): Generator<{ readonly first: number; readonly count: number }> {
    for (const page of this.#damaged) yield { first: page * REMOTE_PER_PAGE, count: REMOTE_PER_PAGE };
  }

  /** Operations for everything changed since the last call, and the way back. */
  collect(): { operations: readonly KvOperation[]; undo: () => void } {
    const [pages, images] = [this.#dirtyPages, this.#dirtyImages];
    this.#dirtyPages = new Set();
    this.#dirtyImages = new Set();
    return {
      operations: [
        ...[...pages].map((page) => this.#pageOperation(page)),
        ...[...images].map((id) => this.#imageOperation(id)),
      ],
      undo: () => {
        for (const page of pages) this.#dirtyPages.add(page);
        for (const id of images) this.#dirtyImages.add(id);
      },
    };
  }

  /** All of it, for a store that has nothing of it. */
  operations(): readonly KvOperation[] {
    return [
      ...[...this.#pages.keys()].map((page) => this.#pageOperation(page)),
      ...[...this.#images.keys()].map((id) => this.#imageOperation(id)),
    ].filter(({ type }) => type === 'put');
  }

  #pageOperation(page: number): KvOperation {
    const key = remotePageKey(page);
    const entries = this.#pages.get(page);
    if (entries?.some((word) => word !== 0) !== true) return { type: 'del', key };
    const body = packRemotePage((index) => this.#get(chunkId(page * REMOTE_PER_PAGE + index)));
    return { type: 'put', key, value: seal('remote-page', page, body) };
  }

  #imageOperation(id: number): KvOperation {
    const key = remoteImageKey(id);
    const image = this.#images.get(id);
    return image === undefined
      ? { type: 'del', key }
      : { type: 'put', key, value: seal('remote-image', id, packRemoteImage(image.record)) };
  }

  #forgetUnused(id: number, { left, held }: Image): void {
    if (left > 0 || held) return;
    this.#images.delete(id);
    this.#dirtyImages.add(id);
  }

  #countOf(id: number): number {
    let left = 0;
    for (const { entry } of this.all()) if (entry.image === id) left++;
    return left;
  }

  #get(chunk: number): RemoteEntry | undefined {
    const entries = this.#pages.get(Math.floor(chunk / REMOTE_PER_PAGE));
    const image = entries?.[2 * (chunk % REMOTE_PER_PAGE)] ?? 0;
    return image === 0 ? undefined : { image, block: entries![2 * (chunk % REMOTE_PER_PAGE) + 1]! };
  }

  #store(chunk: number, { image, block }: RemoteEntry): void {
    const page = Math.floor(chunk / REMOTE_PER_PAGE);
    let entries = this.#pages.get(page);
    if (entries === undefined) this.#pages.set(page, (entries = new Uint32Array(2 * REMOTE_PER_PAGE)));
    entries[2 * (chunk % REMOTE_PER_PAGE)] = image;
    entries[2 * (chunk % REMOTE_PER_PAGE) + 1] = block;
    this.#count++;
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { ThinError, toThinError } from '../errors/thin-error.js';
import type { RemoteImage } from '../format/remote-image.js';
import { ownMaker } from '../transfer/passing-devices.js';
import { IMAGE_BLOCK } from '../format/remote-image.js';
import { BlockCodec } from './block-codec.js';
import { BlockSeal, parseKey } from './block-seal.js';
import { Claims } from './claims.js';
import type { Digest } from './digest.js';
import { ImageReader, refsOf } from './image-reader.js';
import { SEGMENT_BLOCKS, type Segment } from './index-segment.js';
import { lazyEnvironment } from './lazy-settings.js';
import type { StoredImage } from './manifest.js';
import { readKey } from './open-remote.js';
import { openStore } from './open-store.js';
import { unpackPack } from './pack.js';
import { rangesOf, type PackRange, type PlacedBlock } from './pack-ranges.js';
import { parseRemoteUrl } from './remote-url.js';
import type { Turns } from './turns.js';

/** Indexes in memory, each of up to 16,384 blocks. */
const SEGMENTS = 4;
/** Milliseconds: one try of the store's own, within the time that a read has. */
const TRY = { forMs: 3000, firstMs: 100, mostMs: 1000 };
const IDLE_MS = 10_000;
/** Milliseconds between tries, at first and at most. */
const FIRST_PAUSE = 200;
const MOST_PAUSE = 2000;
/** Milliseconds for which blocks of a recorded start are kept that nobody has taken. */
const START_MS = 60_000;

/** A part of an image, put together. */
export interface ImagePiece {
  readonly block: number;
  readonly bytes: Uint8Array;
}

/** An image that is fetched piece by piece, on the thread that fetches. */
export class LazyImage {
  readonly #reader: ImageReader;
  readonly #seal: BlockSeal;
  readonly #codec: BlockCodec;
  readonly #image: RemoteImage;
  #stored: Promise<StoredImage> | undefined;
  readonly #segments = new Map<number, Promise<Segment>>();
  /** Blocks of a recorded start as they lie in its pack, until they are taken. */
  readonly #start = new Map<Digest, Uint8Array>();

  constructor(image: RemoteImage, reader: ImageReader, seal: BlockSeal) {
    this.#image = image;
    this.#reader = reader;
    this.#seal = seal;
    this.#codec = new BlockCodec(seal);
  }

  /** Errors: not-found (the key's file), invalid-argument. */
  static async open(image: RemoteImage): Promise<LazyImage> {
    const env = lazyEnvironment(image.settings, process.env);
    const store = await openStore(parseRemoteUrl(image.url).place, env, { retry: TRY, idleMs: IDLE_MS });
    const key = image.keyFile === '' ? undefined : parseKey(await readKey(image.keyFile), image.keyFile);
    const seal = new BlockSeal(key);
    return new LazyImage(image, new ImageReader(store, seal), seal);
  }

  close(): void {
    this.#reader.store.close();
  }

  /** Numbers of its blocks, ascending. */
  async *blocks(): AsyncGenerator<Uint32Array> {
    const { manifest } = await this.#manifest();
    for (const [at, { segment }] of manifest.indexes.entries()) {
      for (const next of manifest.indexes.slice(at, at + SEGMENTS))
        this.#segment(next.segment).catch(() => undefined);
      const blocks = [...(await this.#segment(segment))!.keys()].sort((x, y) => x - y);
      yield Uint32Array.from(blocks, (block) => segment * SEGMENT_BLOCKS + block);
    }
  }

  /**
   * Numbers of the blocks that a recorded start reads, in its order. The pack that has them comes whole, in
   * one request, and `fetch` takes them from it.
   */
  async startBlocks(): Promise<Uint32Array> {
    const { manifest } = await this.#manifest();
    const { start } = manifest;
    if (start === null) return new Uint32Array(0);
    const { store } = this.#reader;
    const bytes = await store.read('pack', start);
    const order = new Map<Digest, number>();
    for (const { name, offset, length } of unpackPack(bytes, this.#seal, `${store.url}: pack ${start}`)) {
      order.set(name, order.size);
      this.#start.set(name, bytes.subarray(offset, offset + length));
    }
    setTimeout(() => {
      this.#start.clear();
    }, START_MS).unref();
    const found: { block: number; at: number }[] = [];
    for (const { segment } of manifest.indexes)
      for (const [block, { name }] of (await this.#segment(segment))!) {
        const at = order.get(name);
        if (at !== undefined) found.push({ block: segment * SEGMENT_BLOCKS + block, at });
      }
    return Uint32Array.from(found.sort((x, y) => x.at - y.at).map(({ block }) => block));
  }

  /**
   * Each piece once, verified, as soon as all of it is there. A store that fails in whatever way is asked
   * again, with growing pauses, until `timeoutMs` is over. Errors: io.
   */
  async fetch(
    { blocks, blocksEach, timeoutMs }: { blocks: readonly number[]; blocksEach: number; timeoutMs: number },
    turns: Turns,
    onPiece: (piece: ImagePiece) => void,
  ): Promise<void> {
    const end = performance.now() + timeoutMs;
    const pieces = new Map(blocks.map((block) => [block, new Piece(block)]));
    const placed = await this.#until(end, () => this.#placesOf(blocks, blocksEach, pieces));
    for (const piece of pieces.values()) if (piece.missing === 0) onPiece(piece.finish(blocksEach));
    const away = placed.filter((block) => !this.#take(block, blocksEach, pieces, onPiece));
    const work = [...rangesOf(away)].map((range) =>
      // A turn for each try: a store that fails holds up nobody else's.
      this.#until(end, () => turns.run(() => this.#fetchRange(range, blocksEach, pieces, onPiece))),
    );
    for (const outcome of await Promise.allSettled(work))
      if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** Says, or says again, that the image is needed. */
  async hold(): Promise<void> {
    const { store } = this.#reader;
    if (!store.isCollected || this.#image.note === '') return;
    const image = await this.#manifest();
    await (await this.#claims()).claim(refsOf(image, image.manifest));
  }

  async release(): Promise<void> {
    if (this.#reader.store.isCollected && this.#image.note !== '') await (await this.#claims()).end();
  }

  async #claims(): Promise<Claims> {
    const about = { source: `pull/${this.#image.digest}`, maker: await ownMaker() };
    return new Claims(this.#reader.store, 'pull', this.#image.note, about);
  }

  /** @returns whether it came with a recorded start */
  #take(
    { block, place: { name } }: PlacedBlock,
    blocksEach: number,
    pieces: ReadonlyMap<number, Piece>,
    onPiece: (piece: ImagePiece) => void,
  ): boolean {
    const stored = this.#start.get(name);
    if (stored === undefined) return false;
    this.#start.delete(name);
    let plain;
    try {
      plain = this.#codec.decode(stored, name, `${this.#reader.store.url}: the recorded start`);
    } catch {
      // It lies elsewhere, too.
      return false;
    }
    const piece = pieces.get(block - (block % blocksEach))!;
    if (piece.add(block, plain, blocksEach)) onPiece(piece.finish(blocksEach));
    return true;
  }

  async #fetchRange(
    { blocks, offset, end }: PackRange,
    blocksEach: number,
    pieces: ReadonlyMap<number, Piece>,
    onPiece: (piece: ImagePiece) => void,
  ): Promise<void> {
    const { pack } = blocks[0]!.place;
    const { store } = this.#reader;
    const bytes = await store.read('pack', pack, { offset, length: end - offset });
    for (const { block, place } of blocks) {
      const piece = pieces.get(block - (block % blocksEach))!;
      if (piece.isDone(block)) continue;
      const stored = bytes.subarray(place.offset - offset, place.offset - offset + place.length);
      const plain = this.#codec.decode(stored, place.name, `${store.url}: pack ${pack}`);
      if (piece.add(block, plain, blocksEach)) onPiece(piece.finish(blocksEach));
    }
  }

  async #placesOf(
    blocks: readonly number[],
    blocksEach: number,
    pieces: ReadonlyMap<number, Piece>,
  ): Promise<PlacedBlock[]> {
    const placed: PlacedBlock[] = [];
    for (const first of blocks) {
      const own: PlacedBlock[] = [];
      for (let block = first; block < first + blocksEach; block++) {
        const segment = await this.#segment(Math.floor(block / SEGMENT_BLOCKS));
        const place = segment?.get(block % SEGMENT_BLOCKS);
        if (place !== undefined) own.push({ block, place });
      }
      pieces.get(first)!.missing = own.length;
      placed.push(...own);
    }
    return placed;
  }

  /** Undefined: the image has nothing there. */
  async #segment(number: number): Promise<Segment | undefined> {
    const { manifest } = await this.#manifest();
    const index = manifest.indexes.find(({ segment }) => segment === number);
    if (index === undefined) return undefined;
    let segment = this.#segments.get(number);
    this.#segments.delete(number);
    segment ??= this.#reader.segment(index);
    this.#segments.set(number, segment);
    for (const [oldest] of this.#segments) if (this.#segments.size > SEGMENTS) this.#segments.delete(oldest);
    return segment.catch((error: unknown) => {
      this.#segments.delete(number);
      throw error;
    });
  }

  #manifest(): Promise<StoredImage> {
    this.#stored ??= this.#reader.image(this.#image.digest as Digest).catch((error: unknown) => {
      this.#stored = undefined;
      throw error;
    });
    return this.#stored;
  }

  async #until<T>(end: number, work: () => Promise<T>): Promise<T> {
    for (let pause = FIRST_PAUSE; ; pause = Math.min(MOST_PAUSE, 2 * pause))
      try {
        return await work();
      } catch (error) {
        const { message } = toThinError(error);
        if (performance.now() + pause > end) throw new ThinError('io', message, { cause: error });
        await sleep(pause);
      }
  }
}

/** A chunk's worth of blocks that comes together. */
class Piece {
  missing = 0;
  readonly #first: number;
  readonly #done = new Set<number>();
  #bytes: Uint8Array | undefined;

  constructor(first: number) {
    this.#first = first;
  }

  isDone(block: number): boolean {
    return this.#done.has(block);
  }

  /** @returns whether it is complete */
  add(block: number, plain: Uint8Array, blocksEach: number): boolean {
    this.#bytes ??= new Uint8Array(blocksEach * IMAGE_BLOCK);
    this.#bytes.set(plain, (block - this.#first) * IMAGE_BLOCK);
    this.#done.add(block);
    return this.#done.size === this.missing;
  }

  finish(blocksEach: number): ImagePiece {
    const bytes = this.#bytes ?? new Uint8Array(blocksEach * IMAGE_BLOCK);
    this.#bytes = undefined;
    return { block: this.#first, bytes };
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { ThinError, toThinError, type ThinErrorCode } from '../errors/thin-error.js';
import type { RemoteImage } from '../format/remote-image.js';
import type { ImagePieces, RemoteRequest } from '../pool/remote-source.js';
import { ownMaker } from '../transfer/passing-devices.js';
import { BlockCodec } from './block-codec.js';
import { BlockSeal, parseKey } from './block-seal.js';
import { Claims } from './claims.js';
import type { Digest } from './digest.js';
import { ImageReader, refsOf } from './image-reader.js';
import { Piece, type ImagePiece } from './image-piece.js';
import { SEGMENT_BLOCKS, unpackSegment, type Segment } from './index-segment.js';
import { lazyEnvironment } from './lazy-settings.js';
import type { IndexRef, StoredImage } from './manifest.js';
import { readKey } from './open-remote.js';
import { openStore } from './open-store.js';
import { unpackPack } from './pack.js';
import { rangesOf, type PackRange, type PlacedBlock } from './pack-ranges.js';
import { PullClaim } from './pull-claim.js';
import { parseRemoteUrl } from './remote-url.js';
import { SharedStores, type StoreLease } from './shared-stores.js';
import { StartBlocks } from './start-blocks.js';
import type { Turns } from './turns.js';

/** Indexes in memory, each of up to 16,384 blocks. */
const SEGMENTS = 4;
/** Indexes that are read at once, and kept as they came (up to 0.75 MiB each) while an image opens. */
const INDEXES = 12;
/** Connections that a pull opens at first: what its first reads use, too. */
const WARM = 12;
/** Milliseconds for which a command waits for a store that is away or slow. */
const COMMAND_MS = 60_000;
/** Milliseconds: one try of the store's own, within the time that a read has. */
const TRY = { forMs: 3000, firstMs: 100, mostMs: 1000 };
const IDLE_MS = 10_000;
/** Milliseconds between tries, at first and at most. */
const FIRST_PAUSE = 200;
const MOST_PAUSE = 2000;
/** Milliseconds for which indexes are kept as they came. */
const INDEX_MS = 60_000;

/** Of this thread. */
const stores = new SharedStores();
const starts = new StartBlocks();

/** An image that a pull has found. */
export interface FoundImage {
  readonly image: LazyImage;
  readonly stored: StoredImage;
  /** Whether the store could be told that the image is needed. */
  readonly isHeld: boolean;
}

/** An image that is fetched piece by piece, on the thread that fetches. */
export class LazyImage {
  readonly #reader: ImageReader;
  readonly #seal: BlockSeal;
  readonly #codec: BlockCodec;
  readonly #image: RemoteImage;
  #stored: Promise<StoredImage> | undefined;
  readonly #segments = new Map<number, Promise<Segment>>();
  /** Of an image that was just found. */
  readonly #indexes = new Map<Digest, Promise<Uint8Array>>();
  #startBytes: Promise<Uint8Array> | undefined;
  /** Of what this pull has told the store; undefined: it has not told it anything. */
  #taken: Promise<void> | undefined;
  readonly #release: () => void;

  constructor(image: RemoteImage, { reader, seal, release }: Reached) {
    this.#image = image;
    this.#reader = reader;
    this.#seal = seal;
    this.#release = release;
    this.#codec = new BlockCodec(seal);
  }

  /** Errors: not-found (the key's file), invalid-argument. */
  static async open(image: RemoteImage): Promise<LazyImage> {
    return new LazyImage(image, await reach(image));
  }

  /** One that was read, beside an ordinary image. Its indexes are read from now on. */
  static async known(image: RemoteImage, stored: StoredImage): Promise<LazyImage> {
    const known = await LazyImage.open(image);
    known.#begin(stored);
    return known;
  }

  /**
   * Finds the image that a pull wants, tells the store that it is needed, and begins to read its indexes and
   * what was recorded of a start. Errors: as `open`; not-found, permission, as `ImageReader.named`.
   */
  static async find(request: RemoteRequest): Promise<FoundImage> {
    const { place, name } = parseRemoteUrl(request.reference);
    const { keyFile, note, settings } = request;
    const reached = await reach({ url: place.url, keyFile, settings });
    const { reader } = reached;
    const about = { source: `pull/${request.reference}`, maker: await ownMaker() };
    const end = performance.now() + COMMAND_MS;
    const claim = new PullClaim(reader, note, about);
    try {
      reader.store.warm(WARM - 1);
      const stored = await untilReached(end, () => claim.find(name));
      const found = { url: place.url, digest: stored.digest, keyFile, note, settings };
      const image = new LazyImage({ ...found, family: 0, isHydrating: false }, reached);
      image.#begin(stored);
      const taken = untilReached(end, () => claim.take(stored));
      taken.catch(() => undefined);
      image.#taken = taken;
      // A store that refuses says so with the first note, where there is one.
      if (name?.kind === 'digest') await taken;
      return { image, stored, isHeld: claim.isTaken };
    } catch (error) {
      if (toThinError(error).code !== 'io') await claim.end().catch(() => undefined);
      reached.release();
      throw error;
    }
  }

  close(): void {
    this.#release();
  }

  get remote(): RemoteImage {
    return this.#image;
  }

  /** Ends when the store keeps an image that was found. Errors: as `PullClaim.take`. */
  get taken(): Promise<void> {
    this.#taken ??= this.#claim();
    return this.#taken;
  }

  /**
   * Where it differs from `below`, or from nothing. The store keeps the image when this has ended. Errors: io
   * after `timeoutMs`; not-found, damaged, permission, wrong-version.
   */
  async *changes(
    below: LazyImage | undefined,
    { blocksEach, timeoutMs }: { readonly blocksEach: number; readonly timeoutMs: number },
  ): AsyncGenerator<ImagePieces> {
    const end = performance.now() + timeoutMs;
    const own = (await untilReached(end, () => this.#manifest())).manifest.indexes;
    const theirs = below && (await untilReached(end, () => below.#manifest())).manifest.indexes;
    const digests = new Map(theirs?.map(({ segment, digest }) => [segment, digest]));
    const numbers = [...new Set([...own.map(({ segment }) => segment), ...digests.keys()])];
    const changed = numbers
      .sort((x, y) => x - y)
      .filter((number) => own.find(({ segment }) => segment === number)?.digest !== digests.get(number));
    const isChanged = ({ segment }: IndexRef): boolean => changed.includes(segment);
    const wanted = { own: own.filter(isChanged), theirs: theirs?.filter(isChanged) ?? [] };
    for (const [at, number] of changed.entries()) {
      this.#readIndexes(wanted.own.slice(at, at + INDEXES));
      if (below !== undefined) below.#readIndexes(wanted.theirs.slice(at, at + INDEXES));
      const [segment, before] = await Promise.all([
        untilReached(end, () => this.#segment(number)),
        untilReached(end, async () => (below === undefined ? undefined : below.#segment(number))),
      ]);
      yield piecesOf(number, { segment, before, blocksEach });
    }
    await this.taken;
  }

  /** Once more, where the one that found it was closed meanwhile, for many others. */
  async #claim(): Promise<void> {
    const { note, digest } = this.#image;
    if (note === '') return;
    const about = { source: `pull/${digest}`, maker: await ownMaker() };
    const claim = new PullClaim(this.#reader, note, about);
    await untilReached(performance.now() + COMMAND_MS, async () => claim.take(await this.#manifest()));
  }

  #begin(stored: StoredImage): void {
    const { indexes, start } = stored.manifest;
    this.#stored = Promise.resolve(stored);
    this.#readIndexes(indexes.slice(0, INDEXES));
    if (start === null) return;
    this.#startBytes = this.#reader.store.read('pack', start);
    this.#startBytes.catch(() => undefined);
  }

  #readIndexes(indexes: readonly IndexRef[]): void {
    const wanted = new Set(indexes.map(({ digest }) => digest));
    for (const digest of wanted) {
      if (this.#indexes.has(digest)) continue;
      if (this.#indexes.size >= INDEXES)
        this.#indexes.delete([...this.#indexes.keys()].find((each) => !wanted.has(each)) ?? digest);
      const reading = this.#reader.store.read('index', digest);
      this.#indexes.set(digest, reading);
      reading.catch(() => {
        this.#indexes.delete(digest);
      });
      setTimeout(() => this.#indexes.delete(digest), INDEX_MS).unref();
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
    const bytes = (await this.#startBytes?.catch(() => undefined)) ?? (await store.read('pack', start));
    this.#startBytes = undefined;
    const order = new Map<Digest, number>();
    const came = new Map<Digest, Uint8Array>();
    for (const { name, offset, length } of unpackPack(bytes, this.#seal, `${store.url}: pack ${start}`)) {
      order.set(name, order.size);
      came.set(name, bytes.subarray(offset, offset + length));
    }
    starts.keep(came);
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
    const placed = await untilDone(end, () => this.#placesOf(blocks, blocksEach, pieces));
    for (const piece of pieces.values()) if (piece.missing === 0) onPiece(piece.finish(blocksEach));
    const away = placed.filter((block) => !this.#take(block, blocksEach, pieces, onPiece));
    const work = [...rangesOf(away)].map((range) =>
      // A turn for each try: a store that fails does not hold up the reads of other stores.
      untilDone(end, () => turns.run(() => this.#fetchRange(range, blocksEach, pieces, onPiece))),
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
    // No note comes after it is taken away.
    await this.#taken?.catch(() => undefined);
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
    const stored = starts.take(name);
    if (stored === undefined) return false;
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
    segment ??= this.#read(index);
    this.#segments.set(number, segment);
    for (const [oldest] of this.#segments) if (this.#segments.size > SEGMENTS) this.#segments.delete(oldest);
    return segment.catch((error: unknown) => {
      this.#segments.delete(number);
      throw error;
    });
  }

  async #read(index: IndexRef): Promise<Segment> {
    const { digest } = index;
    const bytes = await this.#indexes.get(digest)?.catch(() => undefined);
    return bytes === undefined
      ? this.#reader.segment(index)
      : unpackSegment(bytes, this.#seal, `${this.#reader.store.url}: index ${digest}`);
  }

  #manifest(): Promise<StoredImage> {
    this.#stored ??= this.#reader.image(this.#image.digest as Digest).catch((error: unknown) => {
      this.#stored = undefined;
      throw error;
    });
    return this.#stored;
  }
}

interface Reached {
  readonly reader: ImageReader;
  readonly seal: BlockSeal;
  readonly release: () => void;
}

/** A repository of a registry or a part of a bucket, on the thread that fetches. */
export function reachStore({ url, settings }: Pick<RemoteImage, 'url' | 'settings'>): Promise<StoreLease> {
  const env = lazyEnvironment(settings, process.env);
  return stores.take(JSON.stringify([url, settings]), () =>
    openStore(parseRemoteUrl(url).place, env, { retry: TRY, idleMs: IDLE_MS, mirrors: true }),
  );
}

async function reach(image: Pick<RemoteImage, 'url' | 'keyFile' | 'settings'>): Promise<Reached> {
  const { keyFile } = image;
  const seal = new BlockSeal(keyFile === '' ? undefined : parseKey(await readKey(keyFile), keyFile));
  const lease = await reachStore(image);
  return { reader: new ImageReader(lease.store, seal), seal, release: () => lease.release() };
}

/** Of one segment. A piece is the other image's where all of its blocks are. */
function piecesOf(
  number: number,
  {
    segment = new Map(),
    before = new Map(),
    blocksEach,
  }: { segment: Segment | undefined; before: Segment | undefined; blocksEach: number },
): ImagePieces {
  const pieces = new Set<number>();
  for (const [block, { name }] of segment)
    if (before.get(block)?.name !== name) pieces.add(Math.floor(block / blocksEach));
  for (const block of before.keys()) if (!segment.has(block)) pieces.add(Math.floor(block / blocksEach));
  const first = (number * SEGMENT_BLOCKS) / blocksEach;
  const [changed, gone]: [number[], number[]] = [[], []];
  const has = (piece: number): boolean =>
    Array.from({ length: blocksEach }, (_, at) => piece * blocksEach + at).some((block) =>
      segment.has(block),
    );
  for (const piece of [...pieces].sort((x, y) => x - y)) (has(piece) ? changed : gone).push(first + piece);
  return { changed: Uint32Array.from(changed), gone: Uint32Array.from(gone) };
}

/** Tries again after every failure. Errors: io. */
function untilDone<T>(end: number, work: () => Promise<T>): Promise<T> {
  return again(end, work, () => true);
}

/** Tries again where the store is away. Errors: those of `work`. */
function untilReached<T>(end: number, work: () => Promise<T>): Promise<T> {
  return again(end, work, (code) => code === 'io');
}

async function again<T>(
  end: number,
  work: () => Promise<T>,
  mayPass: (code: ThinErrorCode) => boolean,
): Promise<T> {
  for (let pause = FIRST_PAUSE; ; pause = Math.min(MOST_PAUSE, 2 * pause))
    try {
      return await work();
    } catch (error) {
      const { code, message } = toThinError(error);
      if (!mayPass(code)) throw error;
      if (performance.now() + pause > end) throw new ThinError('io', message, { cause: error });
      await sleep(pause);
    }
}

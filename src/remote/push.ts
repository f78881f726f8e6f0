import { randomBytes } from 'node:crypto';
import { ThinError } from '../errors/thin-error.js';
import { framedChanges, type Change } from '../transfer/changes.js';
import { IMAGE_BLOCK } from '../format/remote-image.js';
import type { BlockSeal } from './block-seal.js';
import { Claims } from './claims.js';
import type { CodecPool } from './codec-pool.js';
import { digestOf, type Digest } from './digest.js';
import { ImageReader, blobsOf, refsOf } from './image-reader.js';
import { SEGMENT_BLOCKS } from './index-segment.js';
import { KnownBlocks } from './known-blocks.js';
import { packManifest, type RemoteDevice, type StoredImage } from './manifest.js';
import { PackUploader } from './pack-uploader.js';
import { PushedSegments } from './pushed-segments.js';
import { clearCutOffPushes, cutOffPushes } from './resumed-push.js';
import { namesOfStart, startPack } from './start-pack.js';
import type { RemoteStore, TagState } from './remote-store.js';

const SEGMENT_BYTES = SEGMENT_BLOCKS * IMAGE_BLOCK;
/** Bytes of indexes of other images that are read to find blocks in. */
const MOST_INDEX_BYTES = 32 * 2 ** 20;
/** Other tags whose images are looked at. */
const MOST_OTHERS = 32;

/** A device that holds still while it is pushed. */
export interface PushSource {
  readonly device: RemoteDevice;
  /** `POOL-UUID/DEVICE`. */
  readonly id: string;
  /** All that is mapped, ascending. */
  mapped(): AsyncIterable<Change>;
  /** Images that devices here are known to be, the nearest first, and what differs from each, ascending. */
  readonly ancestors: readonly { readonly image: Digest; changes(): AsyncIterable<Change> }[];
  /** Fills all of `into`. */
  read(offset: number, into: Uint8Array): Promise<void>;
  /** Numbers of the blocks that a start reads, in their order; none: unknown. */
  start(): Promise<readonly number[]>;
}

export interface PushParts {
  readonly store: RemoteStore;
  readonly source: PushSource;
  readonly codecs: CodecPool;
  readonly seal: BlockSeal;
  /** The process that pushes, for notes that are left behind. */
  readonly maker: string;
  readonly isGone: (maker: string) => Promise<boolean>;
  readonly signal: AbortSignal;
  /** Images whose blocks need not be sent; default: those of the store's tags. */
  readonly others?: (() => AsyncIterable<Digest>) | undefined;
  /** In bytes of the device. */
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
}

/** In bytes, `blocks` aside. */
export interface Pushed {
  readonly image: Digest;
  /** Whose blocks it was made by changing. */
  readonly parent: Digest | null;
  readonly read: number;
  /** As they lie in the new packs. */
  readonly sent: number;
  /** Of the image that are not all zeroes. */
  readonly blocks: number;
}

/** Brings a device into a store: what is not there of its blocks, what they are, and then the tag. */
export class Push {
  readonly #parts: PushParts;
  readonly #reader: ImageReader;
  readonly #claims: Claims;
  readonly #known = new KnownBlocks();
  readonly #uploader: PackUploader;
  readonly #segments: PushedSegments;
  #read = 0;
  #sent = 0;
  #isChanged = false;

  constructor(parts: PushParts) {
    const { store, source, codecs, seal, signal, maker } = parts;
    this.#parts = parts;
    this.#reader = new ImageReader(store, seal);
    const id = randomBytes(8).toString('hex');
    this.#claims = new Claims(store, 'push', id, { source: source.id, maker });
    this.#uploader = new PackUploader({
      codecs,
      seal,
      put: async (pack, bytes) => {
        await this.#claims.putting({ kind: 'pack', ...pack }, () =>
          store.put('pack', pack.digest, bytes, signal),
        );
        this.#sent += pack.size;
        this.#segments.sizes.set(pack.digest, pack.size);
      },
    });
    this.#segments = new PushedSegments(store, seal, this.#claims);
  }

  /**
   * @param tag undefined: the caller puts what refers to the image
   *
   * Errors: busy, where another push moved the tag meanwhile (what was sent is there, and a second try sends
   * nothing again); as those of the store and the device.
   */
  async run(tag: string | undefined): Promise<Pushed> {
    const { store, source, isGone } = this.#parts;
    const before = tag === undefined ? undefined : await store.tag(tag);
    await this.#claims.begin();
    try {
      const ancestor = await this.#ancestor();
      await this.#learn(ancestor?.image, before);
      await this.#blocks(ancestor);
      const start = await this.#start(ancestor?.image);
      const image =
        tag === undefined && ancestor !== undefined && this.#isSame(ancestor.image, start)
          ? ancestor.image.digest
          : await this.#publish(ancestor?.image ?? null, start, tag, before);
      await this.#claims.end();
      await clearCutOffPushes(store, source.id, isGone);
      return {
        image,
        parent: ancestor?.image.digest ?? null,
        read: this.#read,
        sent: this.#sent,
        blocks: this.#segments.blocks,
      };
    } catch (error) {
      // The note stays: the next push of the device goes on from it.
      await this.#uploader.idle();
      throw error;
    }
  }

  #isSame({ manifest }: StoredImage, start: Digest | null): boolean {
    return (
      !this.#isChanged &&
      manifest.start === start &&
      JSON.stringify(manifest.device) === JSON.stringify(this.#parts.source.device)
    );
  }

  /** The nearest one that is in the store, all of it. */
  async #ancestor(): Promise<
    { readonly image: StoredImage; readonly changes: AsyncIterable<Change> } | undefined
  > {
    for (const ancestor of this.#parts.source.ancestors) {
      const image = await this.#usable(ancestor.image);
      if (image !== undefined) return { image, changes: ancestor.changes() };
    }
    return undefined;
  }

  /** Undefined: it is not there, or not for this key, or something of it is going. */
  async #usable(digest: Digest): Promise<StoredImage | undefined> {
    try {
      const image = await this.#reader.image(digest);
      if (!(await this.#claims.claim(refsOf(image, image.manifest)))) return undefined;
      for (const pack of image.manifest.packs) this.#segments.sizes.set(pack.digest, pack.size);
      return image;
    } catch (error) {
      if (
        error instanceof ThinError &&
        ['not-found', 'permission', 'wrong-version', 'damaged'].includes(error.code)
      )
        return undefined;
      throw error;
    }
  }

  /** Blocks of images that are there, and of pushes of this device that were cut off, need not be sent. */
  async #learn(ancestor: StoredImage | undefined, before: TagState | undefined): Promise<void> {
    const { store, source, seal } = this.#parts;
    let budget = MOST_INDEX_BYTES;
    const learn = async (image: StoredImage): Promise<void> => {
      for (const index of image.manifest.indexes) {
        if (index.size > budget) return;
        budget -= index.size;
        for (const place of (await this.#reader.segment(index)).values())
          this.#known.add({ ...place, pack: { digest: place.pack } });
      }
    };
    for await (const { pack, blocks } of cutOffPushes(store, source.id, seal)) {
      if (!(await this.#claims.claim([{ kind: 'pack', ...pack }]))) continue;
      this.#segments.sizes.set(pack.digest, pack.size);
      for (const block of blocks) this.#known.add({ ...block, pack });
    }
    if (ancestor !== undefined) await learn(ancestor);
    const seen = new Set<Digest | undefined>([ancestor?.digest]);
    const others = before === undefined ? [] : [before.image];
    for await (const image of this.#parts.others?.() ?? this.#tagged()) {
      if (others.length >= MOST_OTHERS) break;
      others.push(image);
    }
    for (const digest of others) {
      if (seen.has(digest) || budget <= 0) continue;
      seen.add(digest);
      const image = await this.#usable(digest);
      if (image !== undefined) await learn(image);
    }
  }

  async *#tagged(): AsyncGenerator<Digest> {
    const { store } = this.#parts;
    for await (const tag of store.tags()) {
      const found = await store.listed(tag);
      if (found !== undefined) yield found.image;
    }
  }

  async #blocks(
    ancestor: { readonly image: StoredImage; readonly changes: AsyncIterable<Change> } | undefined,
  ): Promise<void> {
    const { source } = this.#parts;
    const { size } = source.device;
    for (const index of ancestor?.image.manifest.indexes ?? [])
      if (index.segment * SEGMENT_BYTES < size) this.#segments.keep(index, ancestor!.image.manifest.packs);
    let segment = -1;
    let frames: Change[] = [];
    const end = async (): Promise<void> => {
      if (frames.length > 0) await this.#segment(segment, frames);
      frames = [];
    };
    for await (const change of framedChanges(ancestor?.changes ?? source.mapped(), size))
      for (const part of bySegment(change)) {
        const number = Math.floor(part.begin / SEGMENT_BYTES);
        if (number !== segment) await end();
        segment = number;
        frames.push(part);
      }
    await end();
    await this.#uploader.flush();
  }

  async #segment(number: number, frames: readonly Change[]): Promise<void> {
    const { codecs, signal, onProgress, source } = this.#parts;
    this.#isChanged = true;
    const kept = this.#segments.kept(number);
    const before = kept === undefined ? [] : await this.#reader.segment(kept);
    const blocks = this.#segments.open(number, before);
    const left = [...frames].reverse();
    const worker = async (): Promise<void> => {
      for (let frame = left.pop(); frame !== undefined; frame = left.pop()) {
        signal.throwIfAborted();
        await this.#frame(frame, number, blocks);
        onProgress?.({ done: frame.end, total: source.device.size });
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: codecs.width + 2 }, worker));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    await this.#segments.finish();
  }

  async #frame({ kind, begin, end }: Change, segment: number, blocks: PushedBlocks): Promise<void> {
    const first = begin / IMAGE_BLOCK - segment * SEGMENT_BLOCKS;
    const count = Math.ceil((end - begin) / IMAGE_BLOCK);
    if (kind === 'gone') {
      for (let at = 0; at < count; at++) blocks.delete(first + at);
      return;
    }
    const { source, codecs } = this.#parts;
    const buffer = new Uint8Array(count * IMAGE_BLOCK);
    await source.read(begin, buffer.subarray(0, end - begin));
    this.#read += end - begin;
    const { names, bytes } = await codecs.name(buffer);
    const unknown: { at: number; name: Digest }[] = [];
    for (const [at, name] of names.entries()) {
      const place = name === undefined ? undefined : this.#known.get(name);
      if (name === undefined) blocks.delete(first + at);
      else if (place === undefined) unknown.push({ at, name });
      else blocks.set(first + at, place);
    }
    if (unknown.length === 0) return;
    const stored = await codecs.encode(bytes, unknown);
    for (const [index, { at, name }] of unknown.entries()) {
      // The same block may stand twice in what is read, or come from another part meanwhile.
      const place = this.#known.get(name) ?? this.#uploader.add(name, stored[index]!);
      this.#known.add(place);
      blocks.set(first + at, place);
    }
    await this.#uploader.room();
  }

  /** The pack that a pull fetches ahead: the parent's, where it has all of it. */
  async #start(parent: StoredImage | undefined): Promise<Digest | null> {
    const { store, source, codecs, seal, signal } = this.#parts;
    const blocks = await source.start();
    const before = parent?.manifest.start ?? null;
    const writer = await startPack({
      ...{ blocks, codecs, seal, size: source.device.size },
      read: (offset, into) => source.read(offset, into),
    });
    if (writer === undefined) return before;
    if (parent !== undefined && before !== null) {
      const known = await namesOfStart(store, seal, parent);
      if (writer.blocks.every(({ name }) => known.has(name))) return before;
    }
    const { digest, bytes } = await codecs.digest(writer.finish());
    await this.#claims.putting({ kind: 'pack', digest, size: bytes.length }, () =>
      store.put('pack', digest, bytes, signal),
    );
    this.#sent += bytes.length;
    this.#segments.sizes.set(digest, bytes.length);
    return digest;
  }

  async #publish(
    parent: StoredImage | null,
    start: Digest | null,
    tag: string | undefined,
    before: TagState | undefined,
  ): Promise<Digest> {
    const { store, source, seal } = this.#parts;
    await this.#segments.finish();
    const { indexes, packs } = this.#segments.result(start);
    const bytes = packManifest(
      {
        salt: randomBytes(16).toString('hex'),
        createdAt: Date.now(),
        parent: parent?.digest ?? null,
        device: source.device,
        indexes,
        packs,
        start,
      },
      seal,
    );
    const digest = digestOf(bytes);
    await this.#claims.confirm();
    await this.#claims.putting({ kind: 'manifest', digest, size: bytes.length }, () =>
      tag === undefined
        ? store.put('manifest', digest, bytes)
        : store.putImage(digest, bytes, blobsOf({ indexes, packs })),
    );
    if (tag === undefined) return digest;
    await this.#claims.confirm();
    if (await store.moveTag(tag, digest, before)) return digest;
    throw new ThinError(
      'busy',
      `${store.url}:${tag} was moved by another push meanwhile; look at it, then push again: thinfuse sends only what the store lacks`,
    );
  }
}

type PushedBlocks = ReturnType<PushedSegments['open']>;

function* bySegment({ kind, begin, end }: Change): Generator<Change> {
  for (let at = begin; at < end;) {
    const next = Math.min(end, (Math.floor(at / SEGMENT_BYTES) + 1) * SEGMENT_BYTES);
    yield { kind, begin: at, end: next };
    at = next;
  }
}

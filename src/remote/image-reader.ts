import { ThinError } from '../errors/thin-error.js';
import type { BlockSeal } from './block-seal.js';
import type { Digest } from './digest.js';
import { unpackSegment, type Segment } from './index-segment.js';
import { storedImage, type IndexRef, type Manifest, type StoredImage } from './manifest.js';
import type { BlobRef, RemoteStore } from './remote-store.js';
import { DEFAULT_TAG, describeName, type ImageName } from './remote-url.js';

/** Reads what a store says of images: manifests and indexes, each looked at by its digest. */
export class ImageReader {
  readonly store: RemoteStore;
  readonly #seal: BlockSeal;

  constructor(store: RemoteStore, seal: BlockSeal) {
    this.store = store;
    this.#seal = seal;
  }

  /** Errors: not-found; as `image`. */
  async named(name: ImageName = { kind: 'tag', tag: DEFAULT_TAG }): Promise<StoredImage> {
    if (name.kind === 'digest') return this.image(await this.store.imageOf(name.digest));
    const found = await this.store.tag(name.tag);
    if (found !== undefined) return this.image(found.image);
    throw new ThinError(
      'not-found',
      `there is no image ${describeName(this.store, name)}; look at what is there with: thinfuse remote ls ${this.store.url}`,
    );
  }

  /** Errors: not-found, damaged, wrong-version, permission (another key). */
  async image(digest: Digest): Promise<StoredImage> {
    const bytes = await this.store.read('manifest', digest);
    return storedImage(bytes, this.#seal, `${this.store.url}@sha256:${digest}`);
  }

  async segment({ digest }: IndexRef): Promise<Segment> {
    const bytes = await this.store.read('index', digest);
    return unpackSegment(bytes, this.#seal, `${this.store.url}: index ${digest}`);
  }
}

/** What an image keeps alive, itself among it. */
export function refsOf(
  { digest, bytes }: Pick<StoredImage, 'digest' | 'bytes'>,
  { indexes, packs }: Pick<Manifest, 'indexes' | 'packs'>,
): BlobRef[] {
  return [{ kind: 'manifest', digest, size: bytes.length }, ...blobsOf({ indexes, packs })];
}

export function blobsOf({ indexes, packs }: Pick<Manifest, 'indexes' | 'packs'>): BlobRef[] {
  return [
    ...indexes.map(({ digest, size }) => ({ kind: 'index' as const, digest, size })),
    ...packs.map(({ digest, size }) => ({ kind: 'pack' as const, digest, size })),
  ];
}

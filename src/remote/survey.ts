import { ThinError } from '../errors/thin-error.js';
import type { BlockSeal } from './block-seal.js';
import type { CodecPool } from './codec-pool.js';
import { digestOf, type Digest } from './digest.js';
import { unpackSegment, type Segment } from './index-segment.js';
import { unpackManifest, unpackOpenManifest, type OpenManifest } from './manifest.js';
import type { RemoteStore } from './remote-store.js';
import { describeName, type ImageName } from './remote-url.js';

/** A tag and what it leads to. Sizes in bytes. */
export interface TaggedImage {
  readonly tag: string;
  readonly image: Digest;
  /** Unix time, milliseconds. */
  readonly createdAt: number;
  /** Undefined: it is encrypted, and no key was given. */
  readonly device: { readonly name: string; readonly size: number; readonly kind: string } | undefined;
  readonly blocks: number;
  /** Of all packs that it has blocks in. */
  readonly stored: number;
  /** Of those that no other tag's image has blocks in. */
  readonly alone: number;
  readonly encrypted: boolean;
}

/**
 * What the tags of a store lead to, in the order of their names; with `name`, those of that name alone.
 *
 * Errors: damaged, wrong-version, as those of the store.
 */
export async function survey(store: RemoteStore, seal: BlockSeal, name?: ImageName): Promise<TaggedImage[]> {
  const tags: { readonly tag: string; readonly image: Digest }[] = [];
  for await (const tag of store.tags()) {
    const image = (await store.listed(tag))?.image;
    if (image !== undefined) tags.push({ tag, image });
  }
  const images = new Map<Digest, { readonly bytes: Uint8Array; readonly open: OpenManifest }>();
  for (const { tag, image } of tags) {
    if (images.has(image)) continue;
    const bytes = await store.read('manifest', image);
    images.set(image, { bytes, open: unpackOpenManifest(bytes, `${store.url}:${tag}`) });
  }
  const users = new Map<Digest, number>();
  for (const { open } of images.values())
    for (const { digest } of open.packs) users.set(digest, (users.get(digest) ?? 0) + 1);
  return tags
    .filter(
      ({ tag, image }) =>
        name === undefined || (name.kind === 'tag' ? tag === name.tag : image === name.digest),
    )
    .sort((x, y) => (x.tag < y.tag ? -1 : 1))
    .map(({ tag, image }) => {
      const { bytes, open } = images.get(image)!;
      const sum = (packs: OpenManifest['packs']): number =>
        packs.reduce((total, { size }) => total + size, 0);
      const isOpen = (open.encryption?.check ?? '') === seal.check;
      return {
        tag,
        image,
        createdAt: open.createdAt,
        device: isOpen ? unpackManifest(bytes, seal, `${store.url}:${tag}`).device : undefined,
        blocks: open.indexes.reduce((total, { blocks }) => total + blocks, 0),
        stored: sum(open.packs),
        alone: sum(open.packs.filter(({ digest }) => users.get(digest) === 1)),
        encrypted: open.encryption !== null,
      };
    });
}

export interface RemoteFinding {
  /** `pack 1f…`, `index 2e…`. */
  readonly path: string;
  readonly problem: string;
}

const PARALLEL = 8;

/** Looks whether all that images need is in the store and, with `data`, whether it is what was pushed. */
export class RemoteCheck {
  readonly findings: RemoteFinding[] = [];
  images = 0;
  packs = 0;
  blocks = 0;
  readonly #store: RemoteStore;
  readonly #seal: BlockSeal;
  readonly #codecs: CodecPool | undefined;
  readonly #signal: AbortSignal;
  readonly #seen = new Set<Digest>();

  /** @param codecs undefined: packs are not read */
  constructor(store: RemoteStore, seal: BlockSeal, codecs: CodecPool | undefined, signal: AbortSignal) {
    this.#store = store;
    this.#seal = seal;
    this.#codecs = codecs;
    this.#signal = signal;
  }

  /**
   * Looks for all that the image needs, or the images of all tags. Faults are in `findings`. Errors:
   * not-found (the tag); permission (the key), wrong-version, as those of the store.
   */
  async named(name: ImageName | undefined): Promise<void> {
    const images = new Set<Digest>();
    if (name?.kind === 'digest') images.add(await this.#store.imageOf(name.digest));
    else
      for await (const tag of name === undefined ? this.#store.tags() : [name.tag]) {
        const found = name === undefined ? this.#store.listed(tag) : this.#store.tag(tag);
        const image = (await found)?.image;
        if (image !== undefined) images.add(image);
        else if (name !== undefined)
          throw new ThinError(
            'not-found',
            `there is no ${describeName(this.#store, name)}; see thinfuse remote ls ${this.#store.url}`,
          );
      }
    for (const image of images) await this.#image(image);
  }

  async #image(digest: Digest): Promise<void> {
    this.images++;
    const path = `${this.#store.url}@sha256:${digest}`;
    const bytes = await this.#found(`manifest ${digest}`, () => this.#store.read('manifest', digest));
    if (bytes === undefined) return;
    const manifest = await this.#found(path, () => Promise.resolve(unpackManifest(bytes, this.#seal, path)));
    if (manifest === undefined) return;
    const byPack = new Map<Digest, Segment[]>();
    for (const index of manifest.indexes) {
      const name = `index ${index.digest}`;
      const segment = await this.#found(name, async () =>
        unpackSegment(await this.#store.read('index', index.digest), this.#seal, name),
      );
      if (segment === undefined) continue;
      this.blocks += segment.size;
      for (const pack of new Set([...segment.values()].map((place) => place.pack)))
        byPack.set(pack, [...(byPack.get(pack) ?? []), segment]);
    }
    const left = [...manifest.packs];
    const worker = async (): Promise<void> => {
      for (let pack = left.pop(); pack !== undefined; pack = left.pop()) {
        this.#signal.throwIfAborted();
        await this.#pack(pack.digest, pack.size, byPack.get(pack.digest) ?? []);
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: PARALLEL }, worker));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  async #pack(digest: Digest, size: number, segments: readonly Segment[]): Promise<void> {
    const path = `pack ${digest}`;
    if (!this.#seen.has(digest)) this.packs++;
    this.#seen.add(digest);
    if (this.#codecs === undefined) {
      const found = await this.#store.size('pack', digest);
      if (found === undefined) this.findings.push({ path, problem: 'it is not there' });
      else if (found !== size) this.findings.push({ path, problem: `it has ${found} bytes, not ${size}` });
      return;
    }
    const codecs = this.#codecs;
    const bytes = await this.#found(path, async () => {
      const read = await this.#store.read('pack', digest, undefined, this.#signal);
      if (digestOf(read) !== digest)
        throw new ThinError('damaged', `${path} was changed: its digest is another one`);
      return read;
    });
    if (bytes === undefined) return;
    const places = segments.flatMap((segment) => [...segment.values()].filter(({ pack }) => pack === digest));
    for (let at = 0; at < places.length; at += 64)
      await this.#found(path, () =>
        codecs.decode(
          places.slice(at, at + 64).map(({ name, offset, length }) => ({
            stored: bytes.subarray(offset, offset + length),
            name,
            path,
          })),
        ),
      );
  }

  async #found<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ThinError) || !['damaged', 'not-found'].includes(error.code)) throw error;
      this.findings.push({ path, problem: error.code === 'not-found' ? 'it is not there' : error.message });
      return undefined;
    }
  }
}

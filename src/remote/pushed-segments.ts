import { randomBytes } from 'node:crypto';
import type { BlockSeal } from './block-seal.js';
import type { Claims } from './claims.js';
import { digestOf, type Digest } from './digest.js';
import { packSegment, type BlockPlace, type Segment } from './index-segment.js';
import type { Blob, IndexRef } from './manifest.js';
import { SALT_BYTES } from './pack.js';
import type { Placed } from './pack-uploader.js';
import type { RemoteStore } from './remote-store.js';

/** An index with its packs by name. */
interface NamedIndex extends Blob {
  readonly blocks: number;
  readonly packs: readonly Digest[];
}

/**
 * The indexes of an image that is pushed: those of its parent that stay, and those that are made anew and
 * put.
 */
export class PushedSegments {
  /** Bytes of packs that blocks lie in. */
  readonly sizes = new Map<Digest, number>();
  readonly #store: RemoteStore;
  readonly #seal: BlockSeal;
  readonly #claims: Claims;
  readonly #done = new Map<number, NamedIndex>();
  readonly #kept = new Map<number, IndexRef>();
  readonly #open = new Map<number, Map<number, Placed>>();

  constructor(store: RemoteStore, seal: BlockSeal, claims: Claims) {
    this.#store = store;
    this.#seal = seal;
    this.#claims = claims;
  }

  get blocks(): number {
    return [...this.#done.values()].reduce((sum, { blocks }) => sum + blocks, 0);
  }

  /** The parent's, until it is opened. */
  keep(index: IndexRef, packs: readonly Blob[]): void {
    const { segment, digest, size, blocks } = index;
    this.#kept.set(segment, index);
    this.#done.set(segment, { digest, size, blocks, packs: index.packs.map((at) => packs[at]!.digest) });
  }

  kept(segment: number): IndexRef | undefined {
    return this.#kept.get(segment);
  }

  /** Blocks of a segment that is made anew, from what it had. */
  open(segment: number, before: Iterable<readonly [number, BlockPlace]>): Map<number, Placed> {
    const blocks = new Map<number, Placed>();
    for (const [block, place] of before) blocks.set(block, { ...place, pack: { digest: place.pack } });
    this.#done.delete(segment);
    this.#open.set(segment, blocks);
    return blocks;
  }

  /** Puts the indexes whose packs are all in the store. */
  async finish(): Promise<void> {
    for (const [segment, blocks] of this.#open) {
      const places = new Map<number, BlockPlace>();
      for (const [block, { name, pack, offset, length }] of blocks)
        if (pack.digest !== undefined) places.set(block, { name, pack: pack.digest, offset, length });
      if (places.size < blocks.size) continue;
      this.#open.delete(segment);
      if (places.size > 0) this.#done.set(segment, await this.#put(places));
    }
  }

  /** Nothing is open. @param start a pack that no index may name */
  result(start: Digest | null): { readonly indexes: IndexRef[]; readonly packs: Blob[] } {
    const numbers = new Map<Digest, number>();
    const numberOf = (pack: Digest): number => {
      const number = numbers.get(pack) ?? numbers.size;
      numbers.set(pack, number);
      return number;
    };
    const indexes = [...this.#done]
      .sort(([x], [y]) => x - y)
      .map(([segment, { digest, size, blocks, packs }]) => ({
        digest,
        size,
        segment,
        blocks,
        packs: packs.map(numberOf),
      }));
    if (start !== null) numberOf(start);
    const packs = [...numbers.keys()].map((digest) => ({ digest, size: this.sizes.get(digest)! }));
    return { indexes, packs };
  }

  async #put(places: Segment): Promise<NamedIndex> {
    const bytes = packSegment(places, randomBytes(SALT_BYTES), this.#seal);
    const [digest, size] = [digestOf(bytes), bytes.length];
    await this.#claims.putting({ kind: 'index', digest, size }, () =>
      this.#store.put('index', digest, bytes),
    );
    const packs = [...new Set([...places.values()].map(({ pack }) => pack))];
    return { digest, size, blocks: places.size, packs };
  }
}

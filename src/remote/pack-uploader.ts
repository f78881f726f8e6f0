import { randomBytes } from 'node:crypto';
import { toThinError, type ThinError } from '../errors/thin-error.js';
import type { BlockSeal } from './block-seal.js';
import type { CodecPool } from './codec-pool.js';
import type { Digest } from './digest.js';
import type { Blob } from './manifest.js';
import { PackWriter, SALT_BYTES } from './pack.js';

/** Packs on their way at once: with what is filled, 64 MiB. */
const PARALLEL = 3;

/** A pack, perhaps one that is not written yet: then without a digest. */
export interface PackName {
  digest: Digest | undefined;
}

/** Where a block lies, or will lie. */
export interface Placed {
  readonly name: Digest;
  readonly pack: PackName;
  readonly offset: number;
  readonly length: number;
}

/** Fills packs with blocks and puts them into the store, some at a time. */
export class PackUploader {
  readonly #codecs: CodecPool;
  readonly #seal: BlockSeal;
  readonly #putPack: (pack: Blob, bytes: Uint8Array) => Promise<void>;
  readonly #running = new Set<Promise<void>>();
  #open: { readonly writer: PackWriter; readonly name: PackName } | undefined;
  #failure: ThinError | undefined;

  /** @param parts `put`: brings a pack into the store */
  constructor(parts: {
    readonly codecs: CodecPool;
    readonly seal: BlockSeal;
    readonly put: (pack: Blob, bytes: Uint8Array) => Promise<void>;
  }) {
    this.#codecs = parts.codecs;
    this.#seal = parts.seal;
    this.#putPack = parts.put;
  }

  add(name: Digest, stored: Uint8Array): Placed {
    if (this.#open?.writer.hasRoomFor(stored.length) === false) this.#send();
    const open = (this.#open ??= {
      writer: new PackWriter(randomBytes(SALT_BYTES), this.#seal),
      name: { digest: undefined },
    });
    return { ...open.writer.add(name, stored), pack: open.name };
  }

  /** Resolves when there is memory for more. Rejects where a pack could not be put. */
  async room(): Promise<void> {
    while (this.#running.size > PARALLEL) await Promise.race(this.#running);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when all is in the store. */
  async flush(): Promise<void> {
    this.#send();
    await this.idle();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Resolves when nothing is on its way, however it ended. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running);
  }

  #send(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const sending = this.#put(open.writer, open.name)
      .catch((error: unknown) => {
        this.#failure ??= toThinError(error);
      })
      .finally(() => this.#running.delete(sending));
    this.#running.add(sending);
  }

  async #put(writer: PackWriter, name: PackName): Promise<void> {
    const { digest, bytes } = await this.#codecs.digest(writer.finish());
    if (this.#failure !== undefined) return;
    await this.#putPack({ digest, size: bytes.length }, bytes);
    name.digest = digest;
  }
}

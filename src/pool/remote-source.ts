import type { KnownImage } from '../metadata/remote-table.js';
import type { RemoteImage } from '../format/remote-image.js';
import type { Content, FilesystemType } from './info.js';

/** What a pull wants. */
export interface RemoteRequest {
  /** `s3://…` or `oci://…`, with a tag or a digest. */
  readonly reference: string;
  /** As of `RemoteImage`; `note` is a new id. */
  readonly keyFile: string;
  readonly note: string;
  readonly settings: RemoteImage['settings'];
}

/** An image that a store has. Sizes in bytes. */
export interface FoundRemote {
  /** The place, without a tag. */
  readonly url: string;
  readonly digest: string;
  /** Whether the store could be told that the image is needed. */
  readonly isHeld: boolean;
  /** What was pushed. */
  readonly device: {
    readonly name: string;
    readonly size: number;
    readonly kind: 'image' | 'snapshot';
    readonly filesystem: FilesystemType;
    readonly content?: Content | undefined;
    readonly label: string;
    /** 0: none. */
    readonly quota: number;
  };
}

/** What is fetched at once of one image. */
export interface FetchRequest {
  readonly image: KnownImage;
  /** Each is the first of `blocksEach` blocks of the image, of 65,536 bytes. */
  readonly blocks: readonly number[];
  readonly blocksEach: number;
  /** A read waits for it; all other blocks come after. */
  readonly isUrgent: boolean;
  /** Milliseconds for which a store that fails is asked again. */
  readonly timeoutMs: number;
}

/**
 * Where the bytes of remote chunks come from. Nothing of it runs on the pool thread but the hand-over, and
 * nothing is asked of a store before the first call. Errors of all: io, where the store is away, refuses, or
 * has something else than what was pushed; closed.
 */
export interface RemoteSource {
  /**
   * Finds an image for a pull, and says in the store that it is needed; `release` takes that back. Errors:
   * also not-found, permission, damaged, wrong-version, invalid-argument.
   */
  find(request: RemoteRequest): Promise<FoundRemote>;
  /**
   * Numbers of the blocks that the image has, ascending, some at a time. A store that refuses or has no such
   * image is told at once. When it has ended, the store keeps an image that `find` gave.
   */
  blocksOf(image: RemoteImage): AsyncIterable<Uint32Array>;
  /**
   * @param onBytes each of `blocks` once, in any order: `blocksEach` blocks, verified, zeroes where the image
   *   has none
   */
  fetch(request: FetchRequest, onBytes: (block: number, bytes: Uint8Array) => void): Promise<void>;
  /**
   * Numbers of the blocks that a recorded start of the image reads, in their order; none: nobody recorded
   * one.
   */
  startOf(image: KnownImage): Promise<Uint32Array>;
  /** Tells the store that the image is still needed. */
  hold(image: RemoteImage): Promise<void>;
  /** Tells it that it is not any more. */
  release(image: RemoteImage): Promise<void>;
  close(): Promise<void>;
}

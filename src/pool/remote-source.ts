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

/** What a container engine is about to unpack. */
export interface LayersRequest {
  /** The repository, `oci://HOST/REPOSITORY`. */
  readonly url: string;
  /** `sha256:…` of the manifest of an ordinary image there. */
  readonly subject: string;
  /** Milliseconds for which the registry is asked at most. */
  readonly timeoutMs: number;
}

/** Block images beside an ordinary image. */
export interface FoundLayers {
  readonly url: string;
  /** As of `RemoteImage`. */
  readonly settings: RemoteImage['settings'];
  /** The lowest first. */
  readonly layers: readonly {
    /** `sha256:…`, OCI's chain id: what the layer and all below it come to. */
    readonly chain: string;
    readonly digest: string;
    /** Bytes. */
    readonly size: number;
    readonly filesystem: FilesystemType;
    /** In use in it. */
    readonly inodes: number;
  }[];
}

/** Pieces of an image, each so many blocks as a chunk has, by their numbers, ascending. */
export interface ImagePieces {
  /** It has them, and has them otherwise than the other image. */
  readonly changed: Uint32Array;
  /** The other one alone has them. */
  readonly gone: Uint32Array;
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
   * Once, after a pool was opened: stores keep what these images need, and nothing else that an earlier
   * process has told them to keep for the pool. That is seen to in the background.
   */
  settle(images: readonly RemoteImage[]): Promise<void>;
  /**
   * Finds an image for a pull, and says in the store that it is needed; `release` takes that back. Errors:
   * also not-found, permission, damaged, wrong-version, invalid-argument.
   */
  find(request: RemoteRequest): Promise<FoundRemote>;
  /**
   * Finds block images beside an ordinary image, and begins to read what they consist of. Undefined: there
   * are none. Errors: also permission, damaged, wrong-version, invalid-argument.
   */
  findLayers(request: LayersRequest): Promise<FoundLayers | undefined>;
  /**
   * Where an image differs from another, some at a time. A store that refuses or has no such image is told at
   * once. When it has ended, the store keeps an image that `find` gave.
   * @param below undefined: from nothing
   * @param timeoutMs for which a store that is away is asked again
   */
  changesOf(
    image: RemoteImage,
    how: { readonly below: RemoteImage | undefined; readonly blocksEach: number; readonly timeoutMs: number },
  ): AsyncIterable<ImagePieces>;
  /**
   * @param onBytes each of `blocks` once, in any order: `blocksEach` blocks, verified, zeroes where the image
   *   has none
   */
  fetch(request: FetchRequest, onBytes: (block: number, bytes: Uint8Array) => void): Promise<void>;
  /**
   * Numbers of the blocks that a recorded start of the image reads, in their order; none: no start was
   * recorded.
   */
  startOf(image: KnownImage): Promise<Uint32Array>;
  /** Tells the store that the image is still needed. */
  hold(image: RemoteImage): Promise<void>;
  /** Tells it that it is not any more. */
  release(image: RemoteImage): Promise<void>;
  close(): Promise<void>;
}

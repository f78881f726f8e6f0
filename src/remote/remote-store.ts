import type { Digest } from './digest.js';
import type { Blob } from './manifest.js';

/** What a store holds under digests. */
export const BLOB_KINDS = ['pack', 'index', 'manifest'] as const;
export type BlobKind = (typeof BLOB_KINDS)[number];

/**
 * Small texts beside the images: what pushes and pulls under way count on (`push`, `pull`), and what a
 * collection has marked (`mark`) and is about to remove (`sweep`). docs/remote-format.md says why nothing is
 * lost between them.
 */
export const NOTE_KINDS = ['push', 'pull', 'mark', 'sweep'] as const;
export type NoteKind = (typeof NOTE_KINDS)[number];

/** Something in the store that something else refers to. */
export interface BlobRef extends Blob {
  readonly kind: BlobKind;
}

export interface Note {
  readonly id: string;
  /** Unix time of its last writing by the store's clock, in milliseconds. */
  readonly at: number;
}

export interface TagState {
  readonly image: Digest;
  /** What the store knows this state of the tag by. */
  readonly version: string;
}

export interface RangeRequest {
  /** Bytes. */
  readonly offset: number;
  readonly length: number;
}

/**
 * A place for images. What was put is there for everybody at once, also in lists. Every method asks again by
 * itself where the store is away, slow or overloaded or sends half an answer, and asks once more with fresh
 * credentials where they are refused. Errors of all: io (the store does not answer, or in no way known),
 * permission, not-found (the bucket or repository), closed (the signal).
 */
export interface RemoteStore {
  /** As users wrote it, without credentials. */
  readonly url: string;
  /**
   * Whether `list`, `remove` and all notes work; else the store collects what nothing refers to by itself.
   */
  readonly isCollected: boolean;

  /** Whole, or exactly the range. Errors: not-found; damaged, where a whole one does not have its digest. */
  read(kind: BlobKind, digest: Digest, range?: RangeRequest, signal?: AbortSignal): Promise<Uint8Array>;
  /** Bytes; undefined: it is not there. */
  size(kind: BlobKind, digest: Digest): Promise<number | undefined>;
  /** Nothing happens where it is there. */
  put(kind: BlobKind, digest: Digest, bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Puts a manifest, behind what it refers to. */
  putImage(digest: Digest, bytes: Uint8Array, refs: readonly BlobRef[]): Promise<void>;

  /** The image that a digest stands for which a user gave: in a registry, images have one more. */
  imageOf(digest: Digest): Promise<Digest>;

  tags(): AsyncIterable<string>;
  tag(tag: string): Promise<TagState | undefined>;
  /** The same of one of `tags`; undefined also where it names something else than an image of thinfuse. */
  listed(tag: string): Promise<TagState | undefined>;
  /**
   * @param image its manifest was put by this object
   * @param from what `tag` gave; undefined: there was none
   * @returns false where the tag is not in that state any more
   */
  moveTag(tag: string, image: Digest, from: TagState | undefined): Promise<boolean>;
  /** Errors: not-found. */
  removeTag(tag: string): Promise<void>;

  notes(kind: NoteKind): AsyncIterable<Note>;
  /** Undefined: it is gone. */
  readNote(kind: NoteKind, id: string): Promise<Uint8Array | undefined>;
  /** @param refs what is in the store already and has to stay */
  putNote(kind: NoteKind, id: string, bytes: Uint8Array, refs: readonly BlobRef[]): Promise<void>;
  removeNote(kind: NoteKind, id: string): Promise<void>;

  list(kind: BlobKind): AsyncIterable<Blob>;
  remove(kind: BlobKind, digest: Digest, signal?: AbortSignal): Promise<void>;
  /** With the next request, opens so many more connections, for those that soon come together. */
  warm(connections: number): void;
  close(): void;
}

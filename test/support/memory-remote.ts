import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { ThinError } from '../../src/errors/thin-error.js';
import { digestOf, type Digest } from '../../src/remote/digest.js';
import type { Blob } from '../../src/remote/manifest.js';
import type {
  BlobKind,
  Note,
  NoteKind,
  RangeRequest,
  RemoteStore,
  TagState,
} from '../../src/remote/remote-store.js';

/** What may go wrong with one call, asked before each. */
export interface RemoteFaults {
  /** Thrown in place of doing it. */
  readonly refuse?: (call: string) => ThinError | undefined;
  /** Thrown though it was done. */
  readonly lose?: (call: string) => ThinError | undefined;
  /** Milliseconds before it is done. */
  readonly delay?: (call: string) => number;
  /** What is read in place of what is there. */
  readonly spoil?: (kind: BlobKind, bytes: Uint8Array) => Uint8Array;
}

/** A store in memory, shared by all objects that are made of the same `MemoryShelf`. */
export class MemoryShelf {
  readonly blobs = new Map<string, Uint8Array>();
  readonly tags = new Map<string, TagState>();
  readonly notes = new Map<string, { readonly bytes: Uint8Array; readonly at: number }>();
  /** Unix time, milliseconds: the store's clock. */
  now = 1_000_000;
  version = 0;
}

export class MemoryRemote implements RemoteStore {
  readonly url = 's3://memory';
  readonly isCollected = true;
  readonly shelf: MemoryShelf;
  readonly calls: string[] = [];
  faults: RemoteFaults;

  constructor(shelf = new MemoryShelf(), faults: RemoteFaults = {}) {
    this.shelf = shelf;
    this.faults = faults;
  }

  read(kind: BlobKind, digest: Digest, range?: RangeRequest): Promise<Uint8Array> {
    return this.#call(`read ${kind} ${digest}`, () => {
      const bytes = this.shelf.blobs.get(`${kind}/${digest}`);
      if (bytes === undefined) throw missing(`${kind} ${digest}`);
      const spoilt = this.faults.spoil?.(kind, bytes) ?? bytes;
      if (range === undefined) {
        if (digestOf(spoilt) !== digest)
          throw new ThinError('damaged', `the ${kind} ${digest} is not what it was`);
        return spoilt;
      }
      return spoilt.subarray(range.offset, range.offset + range.length);
    });
  }

  size(kind: BlobKind, digest: Digest): Promise<number | undefined> {
    return this.#call(`size ${kind} ${digest}`, () => this.shelf.blobs.get(`${kind}/${digest}`)?.length);
  }

  put(kind: BlobKind, digest: Digest, bytes: Uint8Array): Promise<void> {
    return this.#call(`put ${kind} ${digest}`, () => {
      const key = `${kind}/${digest}`;
      if (!this.shelf.blobs.has(key)) this.shelf.blobs.set(key, new Uint8Array(bytes));
    });
  }

  putImage(digest: Digest, bytes: Uint8Array): Promise<void> {
    return this.put('manifest', digest, bytes);
  }

  imageOf(digest: Digest): Promise<Digest> {
    return Promise.resolve(digest);
  }

  async *tags(): AsyncGenerator<string> {
    yield* await this.#call('tags', () => [...this.shelf.tags.keys()]);
  }

  tag(tag: string): Promise<TagState | undefined> {
    return this.#call(`tag ${tag}`, () => this.shelf.tags.get(tag));
  }

  listed(tag: string): Promise<TagState | undefined> {
    return this.tag(tag);
  }

  moveTag(tag: string, image: Digest, from: TagState | undefined): Promise<boolean> {
    return this.#call(`moveTag ${tag}`, () => {
      if (this.shelf.tags.get(tag)?.version !== from?.version) return false;
      this.shelf.tags.set(tag, { image, version: `${++this.shelf.version}` });
      return true;
    });
  }

  removeTag(tag: string): Promise<void> {
    return this.#call(`removeTag ${tag}`, () => {
      if (!this.shelf.tags.delete(tag)) throw missing(`tag ${tag}`);
    });
  }

  async *notes(kind: NoteKind): AsyncGenerator<Note> {
    const found = await this.#call(`notes ${kind}`, () =>
      [...this.shelf.notes]
        .filter(([key]) => key.startsWith(`${kind}/`))
        .map(([key, { at }]) => ({ id: key.slice(kind.length + 1), at })),
    );
    yield* found;
  }

  readNote(kind: NoteKind, id: string): Promise<Uint8Array | undefined> {
    return this.#call(`readNote ${kind}`, () => this.shelf.notes.get(`${kind}/${id}`)?.bytes);
  }

  putNote(kind: NoteKind, id: string, bytes: Uint8Array): Promise<void> {
    return this.#call(`putNote ${kind}`, () => {
      this.shelf.notes.set(`${kind}/${id}`, { bytes: new Uint8Array(bytes), at: this.shelf.now });
    });
  }

  removeNote(kind: NoteKind, id: string): Promise<void> {
    return this.#call(`removeNote ${kind}`, () => {
      this.shelf.notes.delete(`${kind}/${id}`);
    });
  }

  async *list(kind: BlobKind): AsyncGenerator<Blob> {
    const found = await this.#call(`list ${kind}`, () =>
      [...this.shelf.blobs]
        .filter(([key]) => key.startsWith(`${kind}/`))
        .map(([key, { length: size }]) => ({ digest: key.slice(kind.length + 1) as Digest, size })),
    );
    yield* found;
  }

  remove(kind: BlobKind, digest: Digest): Promise<void> {
    return this.#call(`remove ${kind} ${digest}`, () => {
      this.shelf.blobs.delete(`${kind}/${digest}`);
    });
  }

  warm(): void {
    // Nothing is opened.
  }

  close(): void {
    // Nothing is open.
  }

  async #call<T>(call: string, work: () => T): Promise<T> {
    this.calls.push(call);
    const delay = this.faults.delay?.(call) ?? 0;
    await (delay > 0 ? sleep(delay) : nextTurn());
    const refused = this.faults.refuse?.(call);
    if (refused !== undefined) throw refused;
    const value = work();
    const lost = this.faults.lose?.(call);
    if (lost !== undefined) throw lost;
    return value;
  }
}

function missing(what: string): ThinError {
  return new ThinError('not-found', `there is no ${what}`);
}

import { ThinError } from '../errors/thin-error.js';
import { packUseNote, refKey, unpackListNote } from './push-note.js';
import type { BlobRef, RemoteStore } from './remote-store.js';
import { Stopwatch } from './stopwatch.js';

/** Questions to the store at once. */
const PARALLEL = 16;
/**
 * Milliseconds between writings of a note in a registry, at least: there it serves those alone who go on with
 * a push.
 */
const INTERVAL = 15_000;
/**
 * Milliseconds after which a note that was not written anew has to be looked at again (`collect.ts` believes
 * it for much longer).
 */
const STALE = 3_600_000;

/**
 * What a push or a pull relies on, in a note that every collection reads. Order is all: first the note, then
 * a look at what is about to be removed, then at what is there. docs/remote-format.md has the argument.
 */
export class Claims {
  readonly #store: RemoteStore;
  readonly #kind: 'push' | 'pull';
  readonly #id: string;
  readonly #about: { readonly source: string; readonly maker: string };
  readonly #refs = new Map<string, BlobRef>();
  readonly #put = new Map<string, BlobRef>();
  readonly #sinceWritten = new Stopwatch();
  #writing: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** @param source what a note says of the device; `maker`: of the process */
  constructor(
    store: RemoteStore,
    kind: 'push' | 'pull',
    id: string,
    about: { readonly source: string; readonly maker: string },
  ) {
    this.#store = store;
    this.#kind = kind;
    this.#id = id;
    this.#about = about;
  }

  /** Writes the first note. */
  begin(): Promise<void> {
    return this.#write();
  }

  /** Claims what may be there. True where all of it is and stays; else none of it is claimed. */
  async claim(refs: readonly BlobRef[]): Promise<boolean> {
    const fresh = refs.filter((ref) => !this.#refs.has(refKey(ref)));
    // A registry takes no note of what it does not have.
    if (!this.#store.isCollected && !(await this.#areThere(fresh))) return false;
    for (const ref of fresh) this.#refs.set(refKey(ref), ref);
    await this.#write();
    if (await this.#areSafe(fresh)) return true;
    for (const ref of fresh) this.#refs.delete(refKey(ref));
    return false;
  }

  /** Claims what is known to be there, and to stay until this is done. */
  async keep(refs: readonly BlobRef[]): Promise<void> {
    for (const ref of refs) this.#refs.set(refKey(ref), ref);
    await this.#write();
  }

  /** Puts something new: the note has it before the store does. */
  async putting(ref: BlobRef, put: () => Promise<void>): Promise<void> {
    const isFirst = this.#store.isCollected;
    if (isFirst) {
      this.#put.set(refKey(ref), ref);
      await this.#write();
    }
    await put();
    if (isFirst) return;
    this.#put.set(refKey(ref), ref);
    if (this.#sinceWritten.elapsed > INTERVAL) await this.#write();
  }

  /**
   * Before anything is published that refers to the claims. Errors: io, where something is gone because this
   * stood still for too long.
   */
  async confirm(): Promise<void> {
    const isStale = this.#sinceWritten.elapsed > STALE;
    await this.#write();
    if (isStale && !(await this.#areSafe([...this.#refs.values(), ...this.#put.values()])))
      throw new ThinError(
        'io',
        `${this.#store.url}: a collection removed objects of this push or pull while it was suspended; try again`,
      );
  }

  /** Nothing is counted on any more. */
  async end(): Promise<void> {
    await this.#next?.catch(() => undefined);
    await this.#writing.catch(() => undefined);
    await this.#store.removeNote(this.#kind, this.#id);
  }

  /** Calls that come while the note is written share the next writing. */
  #write(): Promise<void> {
    this.#next ??= this.#writing
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        const [refs, put] = [[...this.#refs.values()], [...this.#put.values()]];
        const note = packUseNote({ ...this.#about, refs, put });
        this.#writing = this.#store.putNote(this.#kind, this.#id, note, [...refs, ...put]).then(() => {
          this.#sinceWritten.restart();
        });
        return this.#writing;
      });
    return this.#next;
  }

  async #areSafe(refs: readonly BlobRef[]): Promise<boolean> {
    if (!this.#store.isCollected) return true;
    const leaving = await leavingIn(this.#store);
    return !refs.some((ref) => leaving.has(refKey(ref))) && (await this.#areThere(refs));
  }

  async #areThere(refs: readonly BlobRef[]): Promise<boolean> {
    const left = [...refs];
    let areThere = true;
    const worker = async (): Promise<void> => {
      for (let ref = left.pop(); ref !== undefined && areThere; ref = left.pop())
        if ((await this.#store.size(ref.kind, ref.digest)) !== ref.size) areThere = false;
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    return areThere;
  }
}

/** What collections that run now are about to remove. */
async function leavingIn(store: RemoteStore): Promise<Set<string>> {
  const leaving = new Set<string>();
  for await (const { id } of store.notes('sweep')) {
    const bytes = await store.readNote('sweep', id);
    for (const ref of (bytes && unpackListNote(bytes)?.refs) ?? []) leaving.add(refKey(ref));
  }
  return leaving;
}

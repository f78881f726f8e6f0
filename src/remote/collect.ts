import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { ThinError } from '../errors/thin-error.js';
import { blobsOf } from './image-reader.js';
import { unpackOpenManifest } from './manifest.js';
import {
  OPENING_LIFE,
  OPENING_PREFIX,
  packListNote,
  refKey,
  unpackListNote,
  unpackUseNote,
  type UseNote,
} from './push-note.js';
import { BLOB_KINDS, type BlobRef, type NoteKind, type RemoteStore } from './remote-store.js';
import { Stopwatch } from './stopwatch.js';

/** Milliseconds for which a push's note is believed that is not written anew. */
const PUSH_LIFE = 7 * 86_400_000;
/** Milliseconds for which the list of what is removed is believed to be worked on. */
const SWEEP_LIFE = 86_400_000;
/** Milliseconds between looks at pulls that are opening, and how long they are waited for. */
const OPENING_PAUSE = 100;
const OPENING_MS = 30_000;
const PARALLEL = 8;

export interface Collected {
  /** Of which something makes use. */
  readonly kept: number;
  /** Without use, and marked now or before; they are removed by a later run, when their grace is over. */
  readonly waiting: number;
  readonly removed: number;
  /** That came back, in bytes. */
  readonly freed: number;
}

/**
 * Gives back what nothing leads to, in two phases: what is found without use is marked, and what has been
 * marked for long enough and is still without use is removed. Never anything that a push or a pull under way
 * counts on; docs/remote-format.md says why. Several may run at once, and each may end at any moment.
 */
export class Collection {
  readonly #store: RemoteStore;
  readonly #graceMs: number;
  readonly #openingMs: number;
  readonly #signal: AbortSignal;
  readonly #id = randomBytes(8).toString('hex');

  constructor(
    store: RemoteStore,
    {
      graceMs,
      openingMs = OPENING_MS,
      signal,
    }: { readonly graceMs: number; readonly openingMs?: number; readonly signal: AbortSignal },
  ) {
    this.#store = store;
    this.#openingMs = openingMs;
    this.#graceMs = graceMs;
    this.#signal = signal;
  }

  /**
   * Errors: unsupported (the store collects by itself); damaged, wrong-version (what an image needs cannot be
   * told).
   */
  async run(): Promise<Collected> {
    const store = this.#store;
    if (!store.isCollected)
      throw new ThinError(
        'unsupported',
        `${store.url} is a registry, which collects unused objects by itself; stop pushes, and run its own garbage collection`,
      );
    const now = await this.#now();
    const used = await this.#used(now);
    const unused: BlobRef[] = [];
    let kept = 0;
    for (const kind of BLOB_KINDS)
      for await (const blob of store.list(kind)) {
        const ref = { kind, ...blob };
        if (used.has(refKey(ref))) kept++;
        else unused.push(ref);
      }
    const marks = await this.#marks(now, new Set(unused.map(refKey)));
    const fresh = unused.filter((ref) => !marks.has(refKey(ref)));
    if (fresh.length > 0) await store.putNote('mark', this.#id, packListNote(fresh), []);
    const due = unused.filter((ref) => (marks.get(refKey(ref)) ?? now) <= now - this.#graceMs);
    const removed = due.length === 0 ? [] : await this.#sweep(due, now);
    return {
      kept,
      waiting: unused.length - removed.length,
      removed: removed.length,
      freed: removed.reduce((sum, { size }) => sum + size, 0),
    };
  }

  async #sweep(due: readonly BlobRef[], now: number): Promise<readonly BlobRef[]> {
    const store = this.#store;
    const watch = new Stopwatch();
    await store.putNote('sweep', this.#id, packListNote(due), []);
    // Only now: a push or pull that is not seen here sees the list.
    const used = await this.#used(now);
    if (!(await this.#takeOpenings(used, now))) {
      await store.removeNote('sweep', this.#id);
      return [];
    }
    const left = due.filter((ref) => !used.has(refKey(ref)));
    // Images first: none is ever there without what it needs.
    const removed: BlobRef[] = [];
    for (const kind of [...BLOB_KINDS].reverse()) {
      const queue = left.filter((ref) => ref.kind === kind);
      const worker = async (): Promise<void> => {
        for (let ref = queue.pop(); ref !== undefined; ref = queue.pop()) {
          this.#signal.throwIfAborted();
          if (watch.elapsed > SWEEP_LIFE / 2)
            throw new ThinError('timeout', `${store.url}: removing took too long; run it again`);
          await store.remove(kind, ref.digest, this.#signal);
          removed.push(ref);
        }
      };
      const outcomes = await Promise.allSettled(Array.from({ length: PARALLEL }, worker));
      // The list stays where one failed: its request may still be done.
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    }
    await store.removeNote('sweep', this.#id);
    return removed;
  }

  /** The store's clock, told by something that is written to it. */
  async #now(): Promise<number> {
    await this.#store.putNote('mark', this.#id, packListNote([]), []);
    for await (const { id, at } of this.#store.notes('mark')) if (id === this.#id) return at;
    throw new ThinError(
      'io',
      `${this.#store.url} does not list what was just put there; it cannot serve as a store`,
    );
  }

  /**
   * Objects that are in use. First pushes, then tags: a push that ends in between is in one of both. Then
   * pulls: one that begins later sees the tags as they are by then.
   */
  async #used(now: number): Promise<Set<string>> {
    const store = this.#store;
    const used = new Set<string>();
    for await (const { use } of this.#uses('push', now - PUSH_LIFE)) take(used, use);
    for await (const tag of store.tags()) {
      const image = (await store.tag(tag))?.image;
      if (image === undefined || used.has(`manifest/${image}`)) continue;
      const bytes = await this.#manifest(tag, image);
      for (const ref of bytes === undefined ? [] : blobsOf(unpackOpenManifest(bytes, `${store.url}:${tag}`)))
        used.add(refKey(ref));
      used.add(`manifest/${image}`);
      await nextTurn();
    }
    for await (const { use } of this.#uses('pull', -Infinity)) take(used, use);
    return used;
  }

  /**
   * Waits until the pulls that are opening now say what they need, and takes that. False: one of them does
   * not say it.
   */
  async #takeOpenings(used: Set<string>, now: number): Promise<boolean> {
    const watch = new Stopwatch();
    let waited: ReadonlySet<string> | undefined;
    for (;;) {
      const opening = new Set<string>();
      for await (const { id, at, use } of this.#uses('pull', -Infinity)) {
        take(used, use);
        if (id.startsWith(OPENING_PREFIX) && at > now - OPENING_LIFE) opening.add(id);
      }
      // Those that open later see the tags as they are by then.
      waited = new Set([...(waited ?? opening)].filter((id) => opening.has(id)));
      if (waited.size === 0) return true;
      this.#signal.throwIfAborted();
      if (watch.elapsed > this.#openingMs) return false;
      await sleep(OPENING_PAUSE);
    }
  }

  /** Notes of pushes or pulls that were written after `from`; those that are gone by now say nothing. */
  async *#uses(
    kind: 'push' | 'pull',
    from: number,
  ): AsyncGenerator<{
    readonly id: string;
    readonly at: number;
    readonly use: Pick<UseNote, 'refs' | 'put'>;
  }> {
    const store = this.#store;
    for await (const { id, at } of store.notes(kind)) {
      if (at < from) continue;
      const note = await this.#note(kind, id);
      const use = note === undefined ? { refs: [], put: [] } : unpackUseNote(note);
      if (use === undefined)
        throw new ThinError(
          'wrong-version',
          `${store.url}: a ${kind} is under way that this program cannot read; use a newer thinfuse`,
        );
      yield { id, at, use };
    }
  }

  async #manifest(tag: string, image: Parameters<RemoteStore['read']>[1]): Promise<Uint8Array | undefined> {
    try {
      return await this.#store.read('manifest', image);
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'not-found') throw error;
      // The tag was moved or removed meanwhile, and another collection has come to it.
      if ((await this.#store.tag(tag))?.image !== image) return undefined;
      throw new ThinError(
        'damaged',
        `${this.#store.url}:${tag} leads to an image that is not there; take the tag away first with: thinfuse remote rm ${this.#store.url}:${tag}`,
        { cause: error },
      );
    }
  }

  #note(kind: NoteKind, id: string): Promise<Uint8Array | undefined> {
    return this.#store.readNote(kind, id);
  }

  /**
   * Since when what is without use is marked. Marks of what is used or gone are taken away, and lists that no
   * process works on any more.
   */
  async #marks(now: number, unused: ReadonlySet<string>): Promise<Map<string, number>> {
    const store = this.#store;
    const marks = new Map<string, number>();
    for await (const { id, at } of store.notes('sweep'))
      if (at < now - SWEEP_LIFE) await store.removeNote('sweep', id);
    for await (const { id, at } of store.notes('mark')) {
      if (id === this.#id) continue;
      const bytes = await this.#note('mark', id);
      const note = bytes && unpackListNote(bytes);
      if (note === undefined) continue;
      const since = note.since ?? at;
      const still = note.refs.filter((ref) => unused.has(refKey(ref)));
      for (const ref of still) marks.set(refKey(ref), Math.min(since, marks.get(refKey(ref)) ?? Infinity));
      if (still.length === 0) await store.removeNote('mark', id);
      else if (still.length < note.refs.length)
        await store.putNote('mark', id, packListNote(still, since), []);
    }
    return marks;
  }
}

function take(used: Set<string>, { refs, put }: Pick<UseNote, 'refs' | 'put'>): void {
  for (const ref of [...refs, ...put]) used.add(refKey(ref));
}

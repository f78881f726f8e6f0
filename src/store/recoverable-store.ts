import { readdir, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';
import type { KeyValue, KvOperation } from './key-value.js';
import { openLevelStore, type LevelStore, type LevelStoreOptions } from './level-store.js';
import { OuterStore } from './outer-store.js';
import { openStandIn, type StandIn } from './stand-in-store.js';

/** Bytes beside the logs, which are written out as tables: a manifest and a new log's first batches. */
const MARGIN = 4 * 2 ** 20;

/** LevelDB takes no more writes once one found no room; this one does again, when it was opened anew. */
export class RecoverableStore extends OuterStore {
  readonly #path: string;
  readonly #options: LevelStoreOptions;
  #full = false;
  #isOpen = true;
  /** What is read while the store itself cannot be opened. */
  #standIn: StandIn | undefined;
  #onDamage: ((error: ThinError) => void) | undefined;
  /** While it is opened anew. */
  #reopening: Promise<void> | undefined;

  private constructor(store: LevelStore, options: LevelStoreOptions) {
    super(store);
    this.#path = store.path;
    this.#options = options;
  }

  /** Errors: as `openLevelStore`. */
  static async open(folder: string, options: LevelStoreOptions = {}): Promise<RecoverableStore> {
    return new RecoverableStore(await openLevelStore(folder, options), options);
  }

  get needsRecovery(): boolean {
    return this.#full;
  }

  async recover(): Promise<void> {
    if (!this.#full) return;
    await this.#requireRoom();
    this.#reopening = this.#reopen().finally(() => (this.#reopening = undefined));
    await this.#reopening;
  }

  async #reopen(): Promise<void> {
    await this.#closeInner().catch(() => undefined);
    try {
      this.inner = await openLevelStore(this.#path, this.#options);
    } catch (error) {
      // Somebody took the room meanwhile: reads go on.
      this.#standIn = await openStandIn(this.#path, this.#options).catch(() => undefined);
      if (this.#standIn !== undefined) this.#follow(this.#standIn.store);
      throw error;
    }
    this.#follow(this.inner);
    this.#isOpen = true;
    this.#full = false;
  }

  #follow(store: KeyValue): void {
    this.inner = store;
    if (this.#onDamage !== undefined) store.watchFiles?.(this.#onDamage);
  }

  async #closeInner(): Promise<void> {
    const standIn = this.#standIn;
    this.#standIn = undefined;
    if (standIn !== undefined) await standIn.end();
    else if (this.#isOpen) {
      this.#isOpen = false;
      await this.inner.close();
    }
  }

  override watchFiles(onDamage: (error: ThinError) => void): void {
    this.#onDamage = onDamage;
    super.watchFiles(onDamage);
  }

  async batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void> {
    try {
      await this.inner.batch(operations, options);
    } catch (error) {
      if (error instanceof ThinError && error.code === 'no-space') this.#full = true;
      throw error;
    }
  }

  override async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    await this.#reopening?.catch(() => undefined);
    return this.inner.get(key);
  }

  async close(): Promise<void> {
    await this.#closeInner();
  }

  /** Before it is closed: one that cannot be opened again cannot be read either. */
  async #requireRoom(): Promise<void> {
    let needed = MARGIN;
    for (const name of await readdir(this.#path))
      if (name.endsWith('.log')) needed += (await stat(path.join(this.#path, name))).size;
    const { bavail, bsize } = await statfs(this.#path);
    if (bavail * bsize < needed)
      throw new ThinError(
        'no-space',
        `the disk of ${this.#path} is full: ${needed} bytes must be free before the pool takes writes again`,
        { details: { path: this.#path } },
      );
  }
}

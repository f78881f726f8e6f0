import type { ThinError } from '../errors/thin-error.js';
import type { BatchOptions, KeyValue, KvOperation, KvRange, KvReader, KvSnapshot } from './key-value.js';

/** A store around another one, to which it passes on all that its class does not change. */
export abstract class OuterStore implements KeyValue {
  protected inner: KeyValue;

  protected constructor(inner: KeyValue) {
    this.inner = inner;
  }

  abstract batch(operations: readonly KvOperation[], options: BatchOptions): Promise<void>;
  abstract close(): Promise<void>;

  getSync(key: Uint8Array): Uint8Array | undefined {
    return this.inner.getSync(key);
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.inner.get(key);
  }

  entries(range: KvRange, options?: { values?: boolean }): ReturnType<KvReader['entries']> {
    return this.inner.entries(range, options);
  }

  snapshot(): KvSnapshot {
    return this.inner.snapshot();
  }

  async compact(range: KvRange): Promise<void> {
    await this.inner.compact?.(range);
  }

  async sizeOf(range: KvRange): Promise<number> {
    return (await this.inner.sizeOf?.(range)) ?? 0;
  }

  watchFiles(onDamage: (error: ThinError) => void): void {
    this.inner.watchFiles?.(onDamage);
  }

  damagedFiles(): AsyncIterable<ThinError> {
    return this.inner.damagedFiles?.() ?? none();
  }
}

async function* none(): AsyncGenerator<never> {
  // A store without files.
}

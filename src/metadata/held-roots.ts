import type { MetadataSnapshot, PackedRecords } from '../format/metadata-snapshot.js';
import { MAX_METADATA_SNAPSHOT, packMetadataSnapshot } from '../format/metadata-snapshot.js';
import { metadataSnapshotKey } from '../format/keys.js';
import { seal } from '../format/seal.js';
import type { KvOperation } from '../store/key-value.js';

/** The metadata snapshots that are reserved. Few, so all in memory. */
export class HeldRoots {
  readonly #held = new Map<number, MetadataSnapshot>();
  readonly #packed = new WeakMap<MetadataSnapshot, PackedRecords>();
  #dirty = new Set<number>();

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  /** Ascending by id, which is the order in which they were reserved. */
  all(): readonly MetadataSnapshot[] {
    return [...this.#held.values()].sort((x, y) => x.id - y.id);
  }

  get(id: number): MetadataSnapshot | undefined {
    return this.#held.get(id);
  }

  /** A number above all that are in use; undefined where the numbers are used up. */
  nextId(): number | undefined {
    const id = Math.max(0, ...this.#held.keys()) + 1;
    return id <= MAX_METADATA_SNAPSHOT ? id : undefined;
  }

  load(held: MetadataSnapshot): void {
    this.#held.set(held.id, held);
  }

  /** @param packed records of it that are packed already */
  add(held: MetadataSnapshot, packed?: PackedRecords): void {
    this.load(held);
    if (packed !== undefined) this.#packed.set(held, packed);
    this.#dirty.add(held.id);
  }

  remove(id: number): void {
    this.#held.delete(id);
    this.#dirty.add(id);
  }

  /** Operations for everything changed since the last call, and the way back. */
  collect(): { operations: readonly KvOperation[]; undo: () => void } {
    const dirty = this.#dirty;
    this.#dirty = new Set();
    const operations = [...dirty].map((id): KvOperation => {
      const key = metadataSnapshotKey(id);
      const held = this.#held.get(id);
      if (held === undefined) return { type: 'del', key };
      const body = packMetadataSnapshot(held, this.#packed.get(held));
      return { type: 'put', key, value: seal('metadata-snapshot', id, body) };
    });
    return {
      operations,
      undo: () => {
        for (const id of dirty) this.#dirty.add(id);
      },
    };
  }
}

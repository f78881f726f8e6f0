import type { MetadataSnapshot, PackedRecords } from '../format/metadata-snapshot.js';
import { MAX_METADATA_SNAPSHOT, packMetadataSnapshot } from '../format/metadata-snapshot.js';
import { metadataSnapshotKey } from '../format/keys.js';
import { seal } from '../format/seal.js';
import { ChangedRecords, putOrDelete, type CollectedChanges } from './changed-records.js';

/** The metadata snapshots that are reserved. Few, so all in memory. */
export class HeldRoots {
  readonly #held = new Map<number, MetadataSnapshot>();
  readonly #packed = new WeakMap<MetadataSnapshot, PackedRecords>();
  readonly #changed = new ChangedRecords<number>();

  get isDirty(): boolean {
    return !this.#changed.isEmpty;
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
    this.#changed.note(held.id);
  }

  remove(id: number): void {
    this.#held.delete(id);
    this.#changed.note(id);
  }

  /** Operations for everything changed since the last call, and the way back. */
  collect(): CollectedChanges {
    return this.#changed.collect((id) => {
      const held = this.#held.get(id);
      const body = held && packMetadataSnapshot(held, this.#packed.get(held));
      return putOrDelete(metadataSnapshotKey(id), body && seal('metadata-snapshot', id, body));
    });
  }
}

import type { Allowed } from './contents.js';
import type { PlaceKind } from './places.js';

export interface SnapshotRecord {
  readonly name: string;
  /** Whose stamps it holds. */
  readonly writer: number;
  readonly kind: PlaceKind;
  /** Narrowed to what was found when it was looked at for the first time: a snapshot does not change. */
  allowed: Allowed;
  /** `maybe`: a crash came while it was made or removed. */
  state: 'there' | 'maybe';
}

/** The snapshots that the pool must have, may have and must not have. */
export class Snapshots {
  readonly #known = new Map<string, SnapshotRecord>();
  readonly #gone = new Set<string>();

  get all(): readonly SnapshotRecord[] {
    return [...this.#known.values()];
  }

  get(name: string): SnapshotRecord | undefined {
    return this.#known.get(name);
  }

  set(record: SnapshotRecord): void {
    this.#known.set(record.name, record);
  }

  /** As they are now, apart from what becomes of them. */
  copy(): Snapshots {
    const copy = new Snapshots();
    for (const record of this.all) copy.set({ ...record });
    for (const name of this.#gone) copy.#gone.add(name);
    return copy;
  }

  /**
   * The power went between `before` and `after`: only what both say is sure, and what was done since is undone.
   */
  revert(before: Snapshots, after: Snapshots): void {
    this.#known.clear();
    this.#gone.clear();
    for (const name of before.#gone) this.#gone.add(name);
    for (const record of [...before.all, ...after.all]) {
      const isSure = before.get(record.name)?.state === 'there' && after.get(record.name)?.state === 'there';
      this.set({ ...record, state: isSure ? 'there' : 'maybe' });
    }
  }

  removed(name: string): void {
    this.#known.delete(name);
    this.#gone.add(name);
  }

  /**
   * After a crash: takes over which of the doubtful ones are there.
   * @throws Error that names a snapshot that was lost, or has come back
   */
  reconcile(present: ReadonlySet<string>): void {
    for (const record of this.all) {
      if (present.has(record.name)) record.state = 'there';
      else if (record.state === 'maybe') this.removed(record.name);
      else throw new Error(`snapshot ${record.name} is lost`);
    }
    for (const name of this.#gone) if (present.has(name)) throw new Error(`${name} was removed and is back`);
  }
}

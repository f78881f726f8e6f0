import { ThinError } from '../errors/thin-error.js';
import type { DeviceId } from '../format/ids.js';
import type { MetadataSnapshot } from '../format/metadata-snapshot.js';
import type { Superblock } from '../format/superblock.js';
import type { DeviceTable } from './device-table.js';
import type { HeldRoots } from './held-roots.js';
import type { NodeTable } from './node-table.js';
import { OpenHold } from './open-hold.js';

/** Makes metadata snapshots, one at a time, and gives them back, in steps that do not grow with the pool. */
export class Holds {
  readonly #devices: DeviceTable;
  readonly #heldRoots: HeldRoots;
  readonly #table: NodeTable;
  #open: OpenHold | undefined;
  #made: MetadataSnapshot | undefined;

  constructor(parts: { devices: DeviceTable; heldRoots: HeldRoots; table: NodeTable }) {
    this.#devices = parts.devices;
    this.#heldRoots = parts.heldRoots;
    this.#table = parts.table;
  }

  /**
   * Begins to keep all roots as they are at this moment (dm-thin-metadata.c, `__reserve_metadata_snap`),
   * whatever they map; `step` does the work. What devices had for themselves is shared from now on.
   * @throws ThinError no-space
   */
  begin(createdAt: number, superblock: Superblock): void {
    this.#made = undefined;
    if (this.#heldRoots.begin(createdAt, superblock) === undefined)
      throw new ThinError('no-space', 'all numbers of metadata snapshots are in use');
    this.#open = new OpenHold({ devices: this.#devices, heldRoots: this.#heldRoots, table: this.#table });
    this.#devices.follow(this.#open);
  }

  /** Keeps at most so many. @returns whether there may be more */
  step(devices: number): boolean {
    return this.#open?.step(devices) === true;
  }

  /** After the last step: whole with the next commit. */
  finish(): MetadataSnapshot {
    this.#end();
    this.#made = this.#heldRoots.finish();
    return this.#made;
  }

  /** It was not made, or not committed: what it has kept is given back. */
  drop(): void {
    this.#end();
    if (this.#made === undefined) this.#heldRoots.drop();
    else if (this.#heldRoots.get(this.#made.id) === this.#made) this.release(this.#made.id);
  }

  /** To be called before the device changes, and before anybody is told what of it is shared. */
  touch(id: DeviceId): void {
    this.#open?.touch(id);
  }

  /** To be called before a commit: it has what the roots count. */
  flush(): void {
    this.#open?.flush();
  }

  /** O(1), but one that an older program reserved costs as much as it has devices. */
  release(id: number): void {
    for (const roots of this.#heldRoots.release(id)) this.#owe(id, roots);
  }

  /** A piece of a released one becomes a pending delete. */
  giveBack(): void {
    const given = this.#heldRoots.giveBack();
    if (given !== undefined && given.roots.length > 0) this.#owe(given.id, given.roots);
  }

  #end(): void {
    this.flush();
    this.#open = undefined;
    this.#devices.follow(undefined);
  }

  #owe(snapshot: number, roots: Parameters<DeviceTable['addPending']>[0]['stack']): void {
    this.#devices.addPending({
      id: this.#devices.unusedPendingId(),
      name: `metadata snapshot ${snapshot}`,
      stack: roots,
    });
  }
}

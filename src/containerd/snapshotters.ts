import AsyncLock from 'async-lock';
import { packSnapshotRecord, unpackSnapshotRecord } from './snapshot-record.js';
import type { DeviceName } from '../format/ids.js';
import type { ServedPool } from '../service/pool-service.js';
import type { SnapshotIndex } from './snapshot-index.js';
import type { SnapshotMounts } from './snapshot-mounts.js';
import type { LazyLayers } from './lazy-layers.js';
import type { SnapshotBases } from './snapshot-bases.js';
import { Snapshotter, type SnapshotterDefaults } from './snapshotter.js';

/** A name took over the snapshots of before. */
export interface Adoption {
  readonly name: string;
  readonly snapshots: number;
}

/**
 * One pool for several names. Each request carries the name under which its sender knows the snapshotter, and
 * two names have nothing in common but the pool: containerd removes whatever a snapshotter lists and it does
 * not know, so two containerds, or two plugins of one, would take each other's snapshots away.
 *
 * Records that were written before names were kept belong to the name that asks first. While there are such
 * records, no request under a name is answered before they are given away, so all that is under a name then
 * is under the name that took them; which is how a daemon that was cut off in the middle is followed by one
 * that gives the rest to the same.
 */
export class Snapshotters {
  readonly #served: ServedPool;
  readonly #index: SnapshotIndex;
  readonly #mounts: SnapshotMounts;
  readonly #bases: SnapshotBases;
  readonly #lazy: LazyLayers;
  readonly #onAdopted: (adoption: Adoption) => void;
  readonly #locks = new AsyncLock({ maxPending: Number.MAX_SAFE_INTEGER });
  #adopting: Promise<void> | undefined;

  constructor(
    served: ServedPool,
    index: SnapshotIndex,
    mounts: SnapshotMounts,
    bases: SnapshotBases,
    lazy: LazyLayers,
    onAdopted: (adoption: Adoption) => void = () => undefined,
  ) {
    this.#served = served;
    this.#index = index;
    this.#mounts = mounts;
    this.#bases = bases;
    this.#lazy = lazy;
    this.#onAdopted = onAdopted;
  }

  /**
   * An empty name is one like any other, but that it takes over nothing. Errors: those of changing a device's
   * label.
   */
  async under(name: string, settings: SnapshotterDefaults): Promise<Snapshotter> {
    if (name !== '' && this.#index.unnamed().length > 0)
      await (this.#adopting ??= this.#adopt(name).finally(() => (this.#adopting = undefined)));
    return new Snapshotter({
      name,
      served: this.#served,
      index: this.#index,
      mounts: this.#mounts,
      bases: this.#bases,
      lazy: this.#lazy,
      settings,
      locks: this.#locks,
    });
  }

  /** Removes the devices of removed snapshots, except those with files in use. */
  async reap(): Promise<void> {
    const { devices, changes } = this.#served;
    for (const name of this.#index.retired())
      await changes.run([name], async () => {
        try {
          if (this.#index.retired().includes(name) && (await this.#mounts.release(name)))
            await devices.removeUnused(name);
        } finally {
          this.#index.note(name);
        }
      });
  }

  get hasRetired(): boolean {
    return this.#index.retired().length > 0;
  }

  async #adopt(asker: string): Promise<void> {
    const name = this.#index.names().find((known) => known !== '') ?? asker;
    const given = await Promise.allSettled(this.#index.unnamed().map((device) => this.#name(device, name)));
    await this.#served.projection.refresh();
    const snapshots = given.filter(({ status }) => status === 'fulfilled').length;
    if (snapshots > 0) this.#onAdopted({ name, snapshots });
    const failed = given.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async #name(device: DeviceName, name: string): Promise<void> {
    const { pool, locks, devices } = this.#served;
    await locks.run([device], async () => {
      const record = unpackSnapshotRecord(pool.device(device)?.label ?? '', device);
      if (record !== undefined && record.snapshotter === undefined)
        await devices.relabel(device, { label: packSnapshotRecord({ ...record, snapshotter: name }) });
      this.#index.note(device);
    });
  }
}

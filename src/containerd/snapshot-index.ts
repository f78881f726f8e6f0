import { RETIRED_LABEL, unpackSnapshotRecord, type SnapshotRecord } from './snapshot-record.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';

export interface Snapshot {
  readonly record: SnapshotRecord;
  readonly device: DeviceInfo;
}

interface Entry {
  readonly record: SnapshotRecord;
  readonly device: DeviceName;
  readonly label: string;
}

type Snapshots = Map<string, Entry>;

/**
 * Snapshots by the snapshotter's name and their key. The labels of the pool's devices are the truth and this
 * only saves reading them all: what it says of one device is compared with that device's label, and where
 * they differ (the device was renamed or removed by somebody else) all are read anew.
 */
export class SnapshotIndex {
  readonly #pool: Pick<ThinPool, 'devices' | 'device'>;
  readonly #byName = new Map<string, Snapshots>();
  readonly #entries = new Map<DeviceName, Entry>();
  readonly #unnamed = new Set<DeviceName>();
  readonly #retired = new Set<DeviceName>();

  /** @throws ThinError damaged: a label cannot be read. */
  constructor(pool: Pick<ThinPool, 'devices' | 'device'>) {
    this.#pool = pool;
    this.#readAll();
  }

  find(snapshotter: string, key: string): Snapshot | undefined {
    const entry = this.#byName.get(snapshotter)?.get(key);
    if (entry === undefined) return undefined;
    const device = this.#pool.device(entry.device);
    if (device?.label === entry.label) return { record: entry.record, device };
    this.#readAll();
    const again = this.#byName.get(snapshotter)?.get(key);
    const moved = again === undefined ? undefined : this.#pool.device(again.device);
    return again === undefined || moved === undefined ? undefined : { record: again.record, device: moved };
  }

  /** Ascending by key, as containerd's own store has them. */
  records(snapshotter: string): readonly SnapshotRecord[] {
    return [...(this.#byName.get(snapshotter)?.keys() ?? [])]
      .sort()
      .map((key) => this.find(snapshotter, key)?.record)
      .filter((record) => record !== undefined);
  }

  hasChildren(snapshotter: string, key: string): boolean {
    const all = [...(this.#byName.get(snapshotter)?.values() ?? [])];
    const children = all.filter(({ record }) => record.parent === key);
    return children.some(({ record }) => this.find(snapshotter, record.key) !== undefined);
  }

  /** Those that a snapshot is known under. */
  names(): readonly string[] {
    return [...this.#byName.keys()];
  }

  /** Devices of snapshots without a snapshotter's name, which an older version recorded. */
  unnamed(): readonly DeviceName[] {
    return [...this.#unnamed];
  }

  /** Every device of a snapshot, retired ones included. */
  devices(): readonly DeviceName[] {
    return [...this.#entries.keys(), ...this.#unnamed, ...this.#retired];
  }

  /** Devices that wait for the last user of their files. */
  retired(): readonly DeviceName[] {
    return [...this.#retired];
  }

  /** After a change of this device was committed. */
  note(name: DeviceName): void {
    this.#forget(name);
    const device = this.#pool.device(name);
    if (device === undefined) return;
    if (device.label === RETIRED_LABEL) {
      this.#retired.add(name);
      return;
    }
    const record = unpackSnapshotRecord(device.label, name);
    if (record === undefined) return;
    if (record.snapshotter === undefined) {
      this.#unnamed.add(name);
      return;
    }
    const entry = { record, device: name, label: device.label };
    const named = this.#byName.get(record.snapshotter) ?? new Map<string, Entry>();
    this.#byName.set(record.snapshotter, named.set(record.key, entry));
    this.#entries.set(name, entry);
  }

  #forget(name: DeviceName): void {
    this.#retired.delete(name);
    this.#unnamed.delete(name);
    const before = this.#entries.get(name);
    this.#entries.delete(name);
    if (before?.record.snapshotter === undefined) return;
    const { snapshotter, key } = before.record;
    const named = this.#byName.get(snapshotter);
    if (named?.get(key)?.device !== name) return;
    named.delete(key);
    if (named.size === 0) this.#byName.delete(snapshotter);
  }

  #readAll(): void {
    for (const index of [this.#byName, this.#entries, this.#unnamed, this.#retired]) index.clear();
    for (const { name } of this.#pool.devices()) this.note(name);
  }
}

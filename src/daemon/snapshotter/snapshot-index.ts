import {
  RETIRED_LABEL,
  unpackSnapshotRecord,
  type SnapshotRecord,
} from '../../containerd/snapshot-record.js';
import type { DeviceName } from '../../format/ids.js';
import type { DeviceInfo } from '../../pool/info.js';
import type { ThinPool } from '../../pool/thin-pool.js';

export interface Snapshot {
  readonly record: SnapshotRecord;
  readonly device: DeviceInfo;
}

interface Entry {
  readonly record: SnapshotRecord;
  readonly device: DeviceName;
  readonly label: string;
}

/**
 * Snapshots by key. The labels of the pool's devices are the truth and this only saves reading them all: what it says of one
 * device is compared with that device's label, and where they differ (the device was renamed or removed by somebody else) all are read anew.
 */
export class SnapshotIndex {
  readonly #pool: Pick<ThinPool, 'devices' | 'device'>;
  readonly #byKey = new Map<string, Entry>();
  readonly #keys = new Map<DeviceName, string>();
  readonly #retired = new Set<DeviceName>();

  /** @throws ThinError damaged: a label cannot be read. */
  constructor(pool: Pick<ThinPool, 'devices' | 'device'>) {
    this.#pool = pool;
    this.#readAll();
  }

  find(key: string): Snapshot | undefined {
    const entry = this.#byKey.get(key);
    if (entry === undefined) return undefined;
    const device = this.#pool.device(entry.device);
    if (device?.label === entry.label) return { record: entry.record, device };
    this.#readAll();
    const again = this.#byKey.get(key);
    const moved = again === undefined ? undefined : this.#pool.device(again.device);
    return again === undefined || moved === undefined ? undefined : { record: again.record, device: moved };
  }

  /** Ascending by key, as containerd's own store has them. */
  records(): readonly SnapshotRecord[] {
    return [...this.#byKey.keys()]
      .sort()
      .map((key) => this.find(key)?.record)
      .filter((record) => record !== undefined);
  }

  hasChildren(key: string): boolean {
    const children = [...this.#byKey.values()].filter(({ record }) => record.parent === key);
    return children.some(({ record }) => this.find(record.key) !== undefined);
  }

  /** Devices that wait for the last user of their files. */
  retired(): readonly DeviceName[] {
    return [...this.#retired];
  }

  /** After a change of this device was committed. */
  note(name: DeviceName): void {
    const before = this.#keys.get(name);
    if (before !== undefined && this.#byKey.get(before)?.device === name) this.#byKey.delete(before);
    this.#keys.delete(name);
    this.#retired.delete(name);
    const device = this.#pool.device(name);
    if (device === undefined) return;
    if (device.label === RETIRED_LABEL) {
      this.#retired.add(name);
      return;
    }
    const record = unpackSnapshotRecord(device.label, name);
    if (record === undefined) return;
    this.#byKey.set(record.key, { record, device: name, label: device.label });
    this.#keys.set(name, record.key);
  }

  #readAll(): void {
    this.#byKey.clear();
    this.#keys.clear();
    this.#retired.clear();
    for (const { name } of this.#pool.devices()) this.note(name);
  }
}

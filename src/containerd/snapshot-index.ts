import { chainIdOf } from './layer-chain.js';
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
}

/** Of one snapshotter. */
interface Snapshots {
  readonly byKey: Map<string, Entry>;
  /** Keys of snapshots, by their parent's. */
  readonly children: Map<string, Set<string>>;
}

type IndexedPool = Pick<ThinPool, 'devices' | 'device' | 'watch'>;

/**
 * Snapshots by the snapshotter's name and their key. The labels of the pool's devices are the truth and this
 * only saves reading them all: before it answers, it reads those of the devices that have changed since, by
 * any caller.
 */
export class SnapshotIndex {
  readonly #pool: IndexedPool;
  readonly #changed: ReturnType<IndexedPool['watch']>;
  readonly #byName = new Map<string, Snapshots>();
  readonly #entries = new Map<DeviceName, Entry>();
  readonly #byChain = new Map<string, Set<DeviceName>>();
  readonly #unnamed = new Set<DeviceName>();
  readonly #retired = new Set<DeviceName>();

  /** @throws ThinError damaged: a label cannot be read. */
  constructor(pool: IndexedPool) {
    this.#pool = pool;
    this.#changed = pool.watch();
    for (const { name } of pool.devices()) this.note(name);
  }

  find(snapshotter: string, key: string): Snapshot | undefined {
    this.#catchUp();
    const entry = this.#byName.get(snapshotter)?.byKey.get(key);
    const device = entry && this.#pool.device(entry.device);
    return entry === undefined || device === undefined ? undefined : { record: entry.record, device };
  }

  /** Ascending by key, as containerd's own store has them. */
  records(snapshotter: string): readonly SnapshotRecord[] {
    this.#catchUp();
    const { byKey } = this.#byName.get(snapshotter) ?? { byKey: new Map<string, Entry>() };
    return [...byKey.keys()].sort().map((key) => byKey.get(key)!.record);
  }

  hasChildren(snapshotter: string, key: string): boolean {
    this.#catchUp();
    return this.#byName.get(snapshotter)?.children.has(key) === true;
  }

  /** Those that a snapshot is known under. */
  names(): readonly string[] {
    this.#catchUp();
    return [...this.#byName.keys()];
  }

  /** Committed snapshots of this chain id, under whatever name. */
  layers(chainId: string): readonly Snapshot[] {
    this.#catchUp();
    return [...(this.#byChain.get(chainId) ?? [])]
      .map((name) => this.#entries.get(name)?.record)
      .map((record) => (record === undefined ? undefined : this.find(record.snapshotter ?? '', record.key)))
      .filter((found) => found !== undefined);
  }

  /** Devices of snapshots without a snapshotter's name, which an older version recorded. */
  unnamed(): readonly DeviceName[] {
    this.#catchUp();
    return [...this.#unnamed];
  }

  /** Every device of a snapshot, retired ones included. */
  devices(): readonly DeviceName[] {
    this.#catchUp();
    return [...this.#entries.keys(), ...this.#unnamed, ...this.#retired];
  }

  /** Devices that wait for the last user of their files. */
  retired(): readonly DeviceName[] {
    this.#catchUp();
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
    const entry = { record, device: name };
    this.#entries.set(name, entry);
    const chain = chainIdOf(record);
    if (chain !== undefined) this.#byChain.set(chain, (this.#byChain.get(chain) ?? new Set()).add(name));
    let named = this.#byName.get(record.snapshotter);
    if (named === undefined) {
      named = { byKey: new Map<string, Entry>(), children: new Map<string, Set<string>>() };
      this.#byName.set(record.snapshotter, named);
    }
    named.byKey.set(record.key, entry);
    const siblings = named.children.get(record.parent) ?? new Set<string>();
    named.children.set(record.parent, siblings.add(record.key));
  }

  #catchUp(): void {
    for (const name of this.#changed.take()) this.note(name);
  }

  #forget(name: DeviceName): void {
    this.#retired.delete(name);
    this.#unnamed.delete(name);
    const before = this.#entries.get(name);
    this.#entries.delete(name);
    if (before?.record.snapshotter === undefined) return;
    const chain = chainIdOf(before.record) ?? '';
    const layers = this.#byChain.get(chain);
    layers?.delete(name);
    if (layers?.size === 0) this.#byChain.delete(chain);
    const { snapshotter, key, parent } = before.record;
    const named = this.#byName.get(snapshotter);
    if (named?.byKey.get(key)?.device !== name) return;
    named.byKey.delete(key);
    const siblings = named.children.get(parent);
    siblings?.delete(key);
    if (siblings?.size === 0) named.children.delete(parent);
    if (named.byKey.size === 0) this.#byName.delete(snapshotter);
  }
}

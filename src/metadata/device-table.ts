import assert from 'node:assert/strict';
import { isHidden } from '../format/device-name.js';
import type { DeviceRecord } from '../format/device-record.js';
import { packDeviceRecord } from '../format/device-record.js';
import { deviceId, MAX_DEVICE_ID, type DeviceId, type DeviceName } from '../format/ids.js';
import { deviceKey, pendingDeleteKey } from '../format/keys.js';
import { packPendingDelete, type PendingDelete } from '../format/pending-delete.js';
import { seal } from '../format/seal.js';
import type { KvOperation } from '../store/key-value.js';

/** The records of all devices, and of the removed ones whose space is still being given back. Small, so all in memory. */
export class DeviceTable {
  readonly #records = new Map<DeviceId, DeviceRecord>();
  readonly #names = new Map<DeviceName, DeviceId>();
  readonly #pending = new Map<DeviceId, PendingDelete>();
  readonly #familySizes = new Map<DeviceId, number>();
  #dirty = new Set<DeviceId>();

  get isDirty(): boolean {
    return this.#dirty.size > 0;
  }

  get count(): number {
    return this.#records.size;
  }

  /** Ascending by id. */
  all(): readonly DeviceRecord[] {
    return [...this.#records.values()].sort((x, y) => x.id - y.id);
  }

  /** Ascending by id: users' devices, or those that the daemon has made for itself. */
  select({ hidden }: { readonly hidden: boolean }): readonly DeviceRecord[] {
    return this.all().filter(({ name }) => isHidden(name) === hidden);
  }

  get(id: DeviceId): DeviceRecord {
    const record = this.#records.get(id);
    assert(record !== undefined, `device ${id} is not in the table`);
    return record;
  }

  find(name: DeviceName): DeviceRecord | undefined {
    const id = this.#names.get(name);
    return id === undefined ? undefined : this.#records.get(id);
  }

  has(id: DeviceId): boolean {
    return this.#records.has(id);
  }

  /** How many devices, removed ones being walked included, could share chunks with this one, itself counted. */
  familySize(id: DeviceId): number {
    return this.#familySizes.get(this.get(id).family) ?? 1;
  }

  pending(): readonly PendingDelete[] {
    return [...this.#pending.values()];
  }

  /** A number that no device has, after `last`, round the end (Docker's getNextDeviceID); undefined when all are given out. */
  unusedId(last: DeviceId): DeviceId | undefined {
    for (let step = 1; step <= MAX_DEVICE_ID; step++) {
      const id = deviceId(((last + step - 1) % MAX_DEVICE_ID) + 1);
      if (!this.#records.has(id) && !this.#pending.has(id)) return id;
    }
    return undefined;
  }

  load(record: DeviceRecord): void {
    this.#records.set(record.id, record);
    this.#names.set(record.name, record.id);
    this.#familySizes.set(record.family, (this.#familySizes.get(record.family) ?? 0) + 1);
  }

  loadPending(pending: PendingDelete): void {
    this.#pending.set(pending.id, pending);
  }

  add(record: DeviceRecord): void {
    this.load(record);
    this.#dirty.add(record.id);
  }

  change(id: DeviceId, change: Partial<Omit<DeviceRecord, 'id' | 'family'>>): DeviceRecord {
    const record = this.get(id);
    const changed = { ...record, ...change };
    if (changed.name !== record.name) {
      this.#names.delete(record.name);
      this.#names.set(changed.name, id);
    }
    this.#records.set(id, changed);
    this.#dirty.add(id);
    return changed;
  }

  /** A fresh count of what only this device maps: kept in memory, and stored when the record changes next. */
  noteExclusive(id: DeviceId, exclusive: number): void {
    const record = this.#records.get(id);
    if (record !== undefined && record.exclusive !== exclusive)
      this.#records.set(id, { ...record, exclusive });
  }

  /** The device goes; its root is owed a release. */
  remove(id: DeviceId): void {
    const record = this.get(id);
    this.#records.delete(id);
    this.#names.delete(record.name);
    this.#familySizes.set(record.family, (this.#familySizes.get(record.family) ?? 1) - 1);
    this.#pending.set(id, { id, name: record.name, stack: [record.root] });
    this.#dirty.add(id);
  }

  /** Nodes that a released metadata snapshot held: each owes one reference. `id` is no device's. */
  addPending(pending: PendingDelete): void {
    this.#pending.set(pending.id, pending);
    this.#dirty.add(pending.id);
  }

  /** The walk's progress; an empty stack ends it. */
  progress(id: DeviceId, stack: PendingDelete['stack']): void {
    const pending = this.#pending.get(id);
    assert(pending !== undefined, `device ${id} is not being given back`);
    if (stack.length === 0) this.#pending.delete(id);
    else this.#pending.set(id, { ...pending, stack });
    this.#dirty.add(id);
  }

  /** Operations for everything changed since the last call, and the way back. */
  collect(): { operations: readonly KvOperation[]; undo: () => void } {
    const dirty = this.#dirty;
    this.#dirty = new Set();
    const operations: KvOperation[] = [];
    for (const id of dirty) {
      const record = this.#records.get(id);
      const pending = this.#pending.get(id);
      operations.push(
        record === undefined
          ? { type: 'del', key: deviceKey(id) }
          : { type: 'put', key: deviceKey(id), value: seal('device', id, packDeviceRecord(record)) },
        pending === undefined
          ? { type: 'del', key: pendingDeleteKey(id) }
          : {
              type: 'put',
              key: pendingDeleteKey(id),
              value: seal('pending-delete', id, packPendingDelete(pending)),
            },
      );
    }
    return {
      operations,
      undo: () => {
        for (const id of dirty) this.#dirty.add(id);
      },
    };
  }
}

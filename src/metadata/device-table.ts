import assert from 'node:assert/strict';
import { isHidden } from '../format/device-name.js';
import type { DeviceRecord } from '../format/device-record.js';
import { sealDeviceRecord } from '../format/device-record.js';
import { deviceId, MAX_DEVICE_ID, type DeviceId, type DeviceName } from '../format/ids.js';
import { firstAt } from '../format/first-at.js';
import { deviceKey, pendingDeleteKey } from '../format/keys.js';
import { MAX_METADATA_SNAPSHOT } from '../format/metadata-snapshot.js';
import { packPendingDelete, type PendingDelete } from '../format/pending-delete.js';
import { seal } from '../format/seal.js';
import { ChangedRecords, putOrDelete, type CollectedChanges } from './changed-records.js';

const FIRST_PENDING = MAX_DEVICE_ID + MAX_METADATA_SNAPSHOT + 1;

/** Names of devices that came, went or changed. Costs nothing but its own names. */
export class NameWatch {
  readonly #stop: (watch: NameWatch) => void;
  #names = new Set<DeviceName>();

  constructor(stop: (watch: NameWatch) => void) {
    this.#stop = stop;
  }

  note(name: DeviceName): void {
    this.#names.add(name);
  }

  /** Those since the last call, or since the watch began. */
  take(): ReadonlySet<DeviceName> {
    const names = this.#names;
    this.#names = new Set();
    return names;
  }

  stop(): void {
    this.#stop(this);
  }
}

/** Told before a device changes or goes, and when one has come. */
export interface DeviceFollower {
  touch(id: DeviceId): void;
  skip(id: DeviceId): void;
}

/** How many devices there are; hidden ones (`isHidden`) are in `all` alone. */
export interface DeviceCounts {
  readonly all: number;
  readonly visible: number;
  /** Marked deleted. */
  readonly deleted: number;
}

/**
 * The records of all devices, and of the removed ones whose space is still being given back. Small, so all in
 * memory. A change costs the same with one device as with thousands.
 */
export class DeviceTable {
  readonly #records = new Map<DeviceId, DeviceRecord>();
  /** Ascending. */
  readonly #order: DeviceId[] = [];
  readonly #names = new Map<DeviceName, DeviceId>();
  readonly #pending = new Map<DeviceId, PendingDelete>();
  readonly #families = new Map<DeviceId, Set<DeviceId>>();
  readonly #watches = new Set<NameWatch>();
  #follower: DeviceFollower | undefined;
  #visible = 0;
  #deleted = 0;
  readonly #changed = new ChangedRecords<DeviceId>();

  get isDirty(): boolean {
    return !this.#changed.isEmpty;
  }

  get count(): number {
    return this.#records.size;
  }

  counts(): DeviceCounts {
    return { all: this.#records.size, visible: this.#visible, deleted: this.#deleted };
  }

  /** Ascending by id. Costs as much as there are devices; `after` goes through them in steps. */
  all(): readonly DeviceRecord[] {
    return this.#order.map((id) => this.get(id));
  }

  /**
   * Ascending by id: users' devices, or those that the daemon has made for itself. Costs as much as there are
   * devices.
   */
  select({ hidden }: { readonly hidden: boolean }): readonly DeviceRecord[] {
    return this.all().filter(({ name }) => isHidden(name) === hidden);
  }

  /** The first `most` records above `id`, ascending. */
  after(id: number, most: number): readonly DeviceRecord[] {
    const at = this.#placeOf(id + 1);
    return this.#order.slice(at, at + most).map((each) => this.get(each));
  }

  watch(): NameWatch {
    const watch = new NameWatch((stopped) => this.#watches.delete(stopped));
    this.#watches.add(watch);
    return watch;
  }

  /** Undefined: nobody is told any more. */
  follow(follower: DeviceFollower | undefined): void {
    this.#follower = follower;
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

  /**
   * How many devices, removed ones being walked included, could share chunks with this one, itself counted.
   */
  familySize(id: DeviceId): number {
    return this.family(this.get(id).family).size;
  }

  /** A consumer may wait between two devices, and continues with those that are there then. */
  family(family: DeviceId): ReadonlySet<DeviceId> {
    return this.#families.get(family) ?? new Set();
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  firstPending(): PendingDelete | undefined {
    return this.#pending.values().next().value;
  }

  /**
   * A number that no device has, after `last`, round the end (Docker's getNextDeviceID); undefined when all
   * are given out.
   */
  unusedId(last: DeviceId): DeviceId | undefined {
    for (let step = 1; step <= MAX_DEVICE_ID; step++) {
      const id = deviceId(((last + step - 1) % MAX_DEVICE_ID) + 1);
      if (!this.#records.has(id) && !this.#pending.has(id)) return id;
    }
    return undefined;
  }

  load(record: DeviceRecord): void {
    const { id, name, family } = record;
    // Numbers are given out in ascending order, so that this nearly always appends.
    if (!this.#records.has(id)) this.#order.splice(this.#placeOf(id), 0, id);
    this.#records.set(id, record);
    this.#names.set(name, id);
    const members = this.#families.get(family);
    if (members === undefined) this.#families.set(family, new Set([id]));
    else members.add(id);
    this.#count(record, 1);
  }

  loadPending(pending: PendingDelete): void {
    this.#pending.set(pending.id, pending);
  }

  add(record: DeviceRecord): void {
    this.#follower?.skip(record.id);
    this.load(record);
    this.#changed.note(record.id);
  }

  change(id: DeviceId, change: Partial<Omit<DeviceRecord, 'id' | 'family'>>): DeviceRecord {
    this.#follower?.touch(id);
    const record = this.get(id);
    const changed = { ...record, ...change };
    if (changed.name !== record.name) {
      this.#names.delete(record.name);
      this.#names.set(changed.name, id);
    }
    this.#records.set(id, changed);
    this.#count(record, -1);
    this.#count(changed, 1);
    this.#changed.note(id);
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
    this.#follower?.touch(id);
    const record = this.get(id);
    this.#records.delete(id);
    this.#order.splice(this.#placeOf(id), 1);
    this.#names.delete(record.name);
    const members = this.#families.get(record.family);
    members?.delete(id);
    if (members?.size === 0) this.#families.delete(record.family);
    this.#count(record, -1);
    this.#pending.set(id, { id, name: record.name, stack: [record.root] });
    this.#changed.note(id);
  }

  /** A number for what is owed that is no device's, and was none of a metadata snapshot's of version 1. */
  unusedPendingId(): DeviceId {
    let id = FIRST_PENDING;
    while (this.#pending.has(deviceId(id))) id++;
    return deviceId(id);
  }

  /** Nodes that a released metadata snapshot held: each owes one reference. `id` is no device's. */
  addPending(pending: PendingDelete): void {
    this.#pending.set(pending.id, pending);
    this.#changed.note(pending.id);
  }

  /** The walk's progress; an empty stack ends it. */
  progress(id: DeviceId, stack: PendingDelete['stack']): void {
    const pending = this.#pending.get(id);
    assert(pending !== undefined, `device ${id} is not being given back`);
    if (stack.length === 0) this.#pending.delete(id);
    else this.#pending.set(id, { ...pending, stack });
    this.#changed.note(id);
  }

  /** Operations for everything changed since the last call, and the way back. */
  collect(): CollectedChanges {
    return this.#changed.collect((id) => {
      const record = this.#records.get(id);
      const pending = this.#pending.get(id);
      return [
        putOrDelete(deviceKey(id), record && sealDeviceRecord(record)),
        putOrDelete(pendingDeleteKey(id), pending && seal('pending-delete', id, packPendingDelete(pending))),
      ];
    });
  }

  #count({ name, deleted }: DeviceRecord, by: 1 | -1): void {
    if (!isHidden(name)) {
      this.#visible += by;
      if (deleted) this.#deleted += by;
    }
    for (const watch of this.#watches) watch.note(name);
  }

  /** Of the first number that is not below `id`. */
  #placeOf(id: number): number {
    return firstAt(this.#order.length, (at) => this.#order[at]! >= id);
  }
}

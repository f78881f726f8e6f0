import type AsyncLock from 'async-lock';
import type { OutlivedCall } from '../adapter/outlived.js';
import { askedBy, LACKS, type Asked } from './asked.js';
import { snapshotDeviceName } from './device-naming.js';
import { parseFilters } from './filters.js';
import type { LazyLayers } from './lazy-layers.js';
import { LentLayers } from './lent-layers.js';
import { updatedLabels, withoutEmpty, type MountMessage } from './messages.js';
import {
  packSnapshotRecord,
  RETIRED_LABEL,
  shortKey,
  type Labels,
  type SnapshotRecord,
} from './snapshot-record.js';
import { changing } from './snapshot-changes.js';
import { wallClock } from './wall-clock.js';
import { ThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo } from '../pool/info.js';
import type { ServedPool } from '../service/pool-service.js';
import type { SnapshotBases } from './snapshot-bases.js';
import type { Snapshot, SnapshotIndex } from './snapshot-index.js';
import type { SnapshotMounts } from './snapshot-mounts.js';
import type { SnapshotterSettings } from './snapshotter-settings.js';

export interface NewSnapshot {
  readonly key: string;
  /** Of a committed snapshot; empty: an empty filesystem. */
  readonly parent: string;
  readonly labels: Labels;
}

export type SnapshotterDefaults = Pick<SnapshotterSettings, 'mounts' | 'filesystem' | 'size' | 'lazy'>;

export interface SnapshotUsage {
  /** Bytes. */
  readonly size: number;
  readonly inodes: number;
}

/**
 * containerd's snapshots (snapshots/snapshotter.go, `Snapshotter`) under one name, each a thin device with
 * the snapshot's record as its label: a change of a snapshot is one commit of the pool. Work under one key
 * runs in order. Errors, beside the pool's and the host's: not-found, exists, invalid-argument (the parent is
 * not committed), busy (it has children), unsupported (not for this kind of snapshot), incomplete (the pool
 * cannot tell whether it is there).
 */
export class Snapshotter {
  readonly #name: string;
  readonly #served: ServedPool;
  readonly #index: SnapshotIndex;
  readonly #mounts: SnapshotMounts;
  readonly #bases: SnapshotBases;
  readonly #lent: LentLayers;
  readonly #settings: SnapshotterDefaults;
  readonly #locks: AsyncLock;

  constructor(parts: {
    /** Under which containerd knows this snapshotter; snapshots under other names are not there. */
    name: string;
    served: ServedPool;
    index: SnapshotIndex;
    mounts: SnapshotMounts;
    bases: SnapshotBases;
    lazy: LazyLayers;
    settings: SnapshotterDefaults;
    /** Shared by all that work for one pool. */
    locks: AsyncLock;
  }) {
    this.#name = parts.name;
    this.#served = parts.served;
    this.#index = parts.index;
    this.#mounts = parts.mounts;
    this.#bases = parts.bases;
    this.#settings = parts.settings;
    this.#locks = parts.locks;
    this.#lent = new LentLayers(parts);
  }

  /** O(1). */
  async create(
    kind: 'active' | 'view',
    { key, parent, labels }: NewSnapshot,
    call?: OutlivedCall,
  ): Promise<readonly MountMessage[]> {
    requireKey(key);
    const { pool } = this.#served;
    const asked = askedBy(labels);
    const lazy = kind === 'active' ? await this.#lent.look(parent, asked.ref, labels) : undefined;
    const name = await this.#exclusively([key, parent], async () => {
      const made = this.#madeBy(call, key);
      if (made !== undefined) return made.device.name;
      this.#requireFree(key);
      const above = parent === '' ? undefined : this.#requireParent(parent);
      const origin = above?.device ?? (await this.#bases.of(this.#settings));
      if (kind === 'active' && asked.ref !== undefined)
        await this.#lent.requireMissing(asked.ref, { parent, above, origin, labels, lazy });
      const bounds = kind === 'active' ? this.#boundsOf(origin, asked) : {};
      const device = snapshotDeviceName(this.#name, key, (taken) => pool.device(taken) !== undefined);
      const now = wallClock();
      const label = packSnapshotRecord({
        snapshotter: this.#name,
        key,
        parent,
        kind,
        createdAt: now,
        updatedAt: now,
        labels: withoutEmpty(Object.entries(labels)),
        bytes: 0,
        inodes: 0,
        remapped: above?.record.remapped,
        call: call?.id,
      });
      await this.#changing([origin.name, device], () =>
        this.#served.devices.snapshot({
          name: device,
          origin: origin.name,
          kind: kind === 'active' ? 'container' : 'snapshot',
          label,
          ...bounds,
        }),
      );
      return device;
    });
    try {
      return await this.#exclusively([key], () => this.#present(key, { fresh: parent === '' }));
    } catch (error) {
      await this.#exclusively([key], () => this.#removeOrRetire(key, name)).catch(() => undefined);
      throw error;
    }
  }

  /** Mounts what a restart of the daemon left unmounted. */
  async mounts(key: string): Promise<readonly MountMessage[]> {
    return this.#exclusively([key], () => this.#present(key, { fresh: false }));
  }

  /**
   * O(1): the active snapshot `key` becomes the committed one `name`, in place. If its files are still
   * mounted, it is frozen for the moment of a snapshot, and that becomes the committed one: what is written
   * afterwards is not in it.
   */
  async commit(name: string, key: string, labels: Labels, call?: OutlivedCall): Promise<void> {
    requireKey(name);
    const { pool, devices } = this.#served;
    await this.#exclusively([name, key], async () => {
      if (this.#madeBy(call, name) !== undefined) return;
      const { record, device } = this.#require(key);
      this.#requireFree(name);
      if (record.kind !== 'active')
        throw new ThinError(
          'unsupported',
          `snapshot ${shortKey(key)} is not active but ${record.kind}, and cannot be committed`,
        );
      const copy = snapshotDeviceName(this.#name, name, (taken) => pool.device(taken) !== undefined);
      await this.#changing([device.name, copy], async () => {
        const inodes =
          (await this.#mounts.inodes(device.name)) ?? this.#find(record.parent)?.record.inodes ?? 0;
        const committed = (): string => {
          const now = wallClock();
          return packSnapshotRecord({
            snapshotter: this.#name,
            key: name,
            parent: record.parent,
            kind: 'committed',
            createdAt: now,
            updatedAt: now,
            labels: withoutEmpty(Object.entries(labels)),
            bytes: devices.require(device.name).exclusive,
            inodes,
            remapped: record.remapped === true || isRemapped(key, name) ? true : undefined,
            call: call?.id,
          });
        };
        if (await this.#mounts.release(device.name))
          await devices.relabel(device.name, { kind: 'image', label: committed(), limit: 0 });
        else await this.#commitLive(device.name, copy, committed);
      });
    });
  }

  /** The files may still be in use: the device is then removed after its last user. */
  async remove(key: string, call?: OutlivedCall): Promise<void> {
    await this.#exclusively([key], async () => {
      if (call?.isRepeated === true && this.#find(key) === undefined) {
        this.#requireAll();
        return;
      }
      const { device } = this.#require(key);
      if (this.#index.hasChildren(this.#name, key))
        throw new ThinError(
          'busy',
          `cannot remove snapshot ${shortKey(key)}: other snapshots are made from it; remove them first`,
        );
      await this.#removeOrRetire(key, device.name);
    });
  }

  /** With the label `LACKS` where a view lacks something. */
  stat(key: string): SnapshotRecord {
    return this.#told(this.#require(key).record);
  }

  /** See `updatedLabels`. */
  async update(key: string, given: Labels, paths: readonly string[]): Promise<SnapshotRecord> {
    return this.#exclusively([key], async () => {
      const { record, device } = this.#require(key);
      const labels = updatedLabels(record.labels, given, paths);
      const asked = askedBy(labels);
      const label = packSnapshotRecord({ ...record, labels, updatedAt: wallClock() });
      const isResized = record.kind === 'active' && asked.size !== askedBy(record.labels).size;
      const { devices } = this.#served;
      await this.#changing([device.name], async () => {
        if (isResized) {
          await devices.bound(device.name, { limit: 0, ...this.#boundsOf(device, asked), label });
          await this.#mounts.follow(devices.require(device.name));
        } else await devices.relabel(device.name, { label });
      });
      return this.#require(key).record;
    });
  }

  /** What the snapshot holds beside its parent. O(1): no tree and no filesystem is walked. */
  async usage(key: string): Promise<SnapshotUsage> {
    const { record, device } = this.#require(key);
    const before = this.#find(record.parent)?.record.inodes ?? 0;
    if (record.kind === 'committed')
      return {
        size: record.bytes,
        inodes: record.parent === '' ? record.inodes : Math.max(0, record.inodes - before),
      };
    const inodes = record.kind === 'view' ? undefined : await this.#mounts.inodes(device.name);
    return { size: device.exclusive, inodes: inodes === undefined ? 0 : Math.max(0, inodes - before) };
  }

  /**
   * As `stat` has them. Errors: invalid-argument (a filter is not understood), incomplete (there may be
   * more).
   */
  list(filters: readonly string[]): readonly SnapshotRecord[] {
    this.#requireAll();
    return this.#index
      .records(this.#name)
      .map((record) => this.#told(record))
      .filter(parseFilters(filters));
  }

  /** An answer to View has no place for it. */
  #told(record: SnapshotRecord): SnapshotRecord {
    const device = record.kind === 'view' ? this.#find(record.key)?.device.name : undefined;
    const lacks = device === undefined ? undefined : this.#mounts.lacks(device);
    return lacks === undefined ? record : { ...record, labels: { ...record.labels, [LACKS]: lacks } };
  }

  async #commitLive(device: DeviceName, copy: DeviceName, label: () => string): Promise<void> {
    if (!this.#mounts.isFreezable(device))
      throw new ThinError(
        'busy',
        `device ${device} is in use where it cannot be frozen; unmount it before it is committed`,
        { details: { device } },
      );
    await this.#served.devices.snapshot({
      name: copy,
      origin: device,
      kind: 'image',
      labelThen: label,
      originLabel: RETIRED_LABEL,
    });
  }

  async #present(key: string, { fresh }: { fresh: boolean }): Promise<readonly MountMessage[]> {
    const { record, device } = this.#require(key);
    if (record.kind === 'committed')
      throw new ThinError(
        'unsupported',
        `snapshot ${shortKey(key)} is committed; only active ones and views have mounts`,
      );
    return this.#served.locks.run([device.name], async () => {
      const active = record.kind === 'active';
      if (active && (fresh || device.filesystemSize < device.size))
        await this.#mounts.prepare(device, { bare: fresh });
      const { mounts } = this.#settings;
      return this.#mounts.present(record, this.#served.devices.require(device.name), mounts);
    });
  }

  /**
   * How the filesystem of a device made from `origin` comes to hold what was asked for, or what this
   * snapshotter gives.
   */
  #boundsOf(origin: DeviceInfo, asked: Asked): { readonly size?: number; readonly limit?: number } {
    const size = asked.size ?? this.#settings.size ?? origin.size;
    if (size > origin.size) return { size: Math.ceil(size / SECTOR) * SECTOR };
    if (size === origin.size) return {};
    if ((asked.mounts ?? this.#settings.mounts) === 'bind') return { limit: size };
    if (asked.size === undefined) return {};
    throw new ThinError(
      'unsupported',
      `${size} bytes are less than the ${origin.size} of the image, and a filesystem that is mounted elsewhere from a loop device does not shrink; ask for more, or start the snapshotter with a smaller size=`,
    );
  }

  async #removeOrRetire(key: string, name: DeviceName): Promise<void> {
    if (this.#index.find(this.#name, key)?.device.name !== name) return;
    const { devices } = this.#served;
    await this.#changing([name], async () => {
      if (await this.#mounts.release(name)) await devices.removeUnused(name);
      else await devices.relabel(name, { label: RETIRED_LABEL });
    });
  }

  #changing<T>(names: readonly DeviceName[], change: () => Promise<T>): Promise<T> {
    return changing({ served: this.#served, index: this.#index }, names, change);
  }

  async #exclusively<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    // Sorted, so that two callers that want the same two keys cannot wait for each other.
    const named = keys.filter((key) => key !== '').sort();
    return this.#locks.acquire([...new Set(named.map((key) => JSON.stringify([this.#name, key])))], work);
  }

  /** What an earlier daemon did of the same call, before it could answer. */
  #madeBy(call: OutlivedCall | undefined, key: string): Snapshot | undefined {
    const found = call?.isRepeated === true ? this.#find(key) : undefined;
    return found?.record.call === call?.id ? found : undefined;
  }

  #find(key: string): Snapshot | undefined {
    return key === '' ? undefined : this.#index.find(this.#name, key);
  }

  #require(key: string): Snapshot {
    const found = this.#index.find(this.#name, key);
    if (found !== undefined) return found;
    this.#requireAll();
    throw new ThinError(
      'not-found',
      `there is no snapshot ${shortKey(key)} under the name ${shortKey(this.#name)}`,
    );
  }

  /**
   * A snapshot that is missing may be in the pool's log alone. A client that is told "not found" would forget
   * it. @throws ThinError incomplete
   */
  #requireAll(): void {
    const { lacks } = this.#served.pool.info();
    if (lacks !== undefined)
      throw new ThinError('incomplete', `the pool cannot list all of its snapshots now: ${lacks}`);
  }

  #requireFree(key: string): void {
    if (this.#index.find(this.#name, key) !== undefined)
      throw new ThinError('exists', `there is a snapshot ${shortKey(key)} already`);
  }

  #requireParent(parent: string): Snapshot {
    const found = this.#require(parent);
    if (found.record.kind === 'committed') return found;
    throw new ThinError(
      'invalid-argument',
      `the parent ${shortKey(parent)} is not committed but ${found.record.kind}; commit it first`,
    );
  }
}

const SECTOR = 512;

/**
 * How containerd names the copy of an image in which it changes the owners of all files, where its
 * configuration does not say that the snapshotter maps them (client/snapshotter_opts_unix.go). Keys have a
 * namespace and a number in front.
 */
function isRemapped(key: string, name: string): boolean {
  return last(key) === `${last(name)}-remap`;
}

function last(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}

function requireKey(key: string): void {
  if (key === '') throw new ThinError('invalid-argument', 'a snapshot needs a key; give it one');
}

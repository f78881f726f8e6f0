import type { DeviceRecord } from '../format/device-record.js';
import type { DeviceId } from '../format/ids.js';
import type { FirstReads } from '../threads/first-reads.js';
import type { PoolState } from './pool-state.js';

/** Devices whose reads are remembered after they were active. */
const MOST_DEVICES = 256;

/**
 * Which blocks devices read first since the pool was opened: a start of what runs on them. In memory alone.
 */
export class DeviceReads {
  readonly #state: PoolState;
  /** Of devices that are not active any more, the oldest first. */
  readonly #left = new Map<DeviceId, Set<number>>();

  constructor(state: PoolState) {
    this.#state = state;
  }

  /** The device is not active any more. Those that it descends from remember it, for it may be removed. */
  leave(record: DeviceRecord, reads: FirstReads): void {
    const blocks = isUsers(record) ? reads.blocks() : [];
    if (blocks.length === 0) return;
    for (const id of this.#chain(record)) {
      const known = this.#left.get(id) ?? new Set();
      for (const block of blocks) known.add(block);
      this.#left.delete(id);
      this.#left.set(id, known);
    }
    for (const [oldest] of this.#left) if (this.#left.size > MOST_DEVICES) this.#left.delete(oldest);
  }

  /** Blocks that the device, or what was made of it, has read first; in the order of its own reads. */
  of(record: DeviceRecord): number[] {
    const { active, metadata } = this.#state;
    const blocks = new Set(active.get(record.id)?.firstReads.blocks());
    for (const block of this.#left.get(record.id) ?? []) blocks.add(block);
    for (const [id, { firstReads }] of active) {
      const other = metadata.devices.get(id);
      if (other.family !== record.family || !isUsers(other)) continue;
      if (![...this.#chain(other)].includes(record.id)) continue;
      for (const block of firstReads.blocks()) blocks.add(block);
    }
    return [...blocks];
  }

  /** The device and what it descends from, as far as that is there; not the base, which is everybody's. */
  *#chain(record: DeviceRecord): Generator<DeviceId> {
    const { devices } = this.#state.metadata;
    for (let at = record; at.kind !== 'base'; at = devices.get(at.origin)) {
      yield at.id;
      if (at.origin === 0 || at.origin === at.id || !devices.has(at.origin)) return;
    }
  }
}

/** What transfers hold meanwhile is read from one end to the other. */
function isUsers({ maker }: DeviceRecord): boolean {
  return maker === '';
}

import type { DeviceRecord } from '../format/device-record.js';
import type { DeviceId } from '../format/ids.js';
import { HELD_PER_PIECE } from '../format/metadata-snapshot.js';
import type { DeviceTable } from './device-table.js';
import type { HeldRoots } from './held-roots.js';
import type { NodeTable } from './node-table.js';

interface HoldParts {
  readonly devices: Pick<DeviceTable, 'after' | 'get' | 'noteExclusive'>;
  readonly heldRoots: Pick<HeldRoots, 'add'>;
  readonly table: Pick<NodeTable, 'share'>;
}

/**
 * A metadata snapshot that is being made. It has the devices of the moment in which it began, and takes them
 * some at a time, while others work: `touch` takes a device before it changes, and before anybody is told
 * what of it is shared.
 */
export class OpenHold {
  readonly #parts: HoldParts;
  /** All up to this number are taken. */
  #passed = 0;
  /** Beyond that: taken, or not there at that moment. */
  readonly #ahead = new Set<DeviceId>();
  #records: DeviceRecord[] = [];

  constructor(parts: HoldParts) {
    this.#parts = parts;
  }

  touch(id: DeviceId): void {
    if (id <= this.#passed || this.#ahead.has(id)) return;
    this.#ahead.add(id);
    this.#take(this.#parts.devices.get(id));
  }

  /** The device has come since. */
  skip(id: DeviceId): void {
    if (id > this.#passed) this.#ahead.add(id);
  }

  /** Takes at most so many. @returns whether there may be more */
  step(most: number): boolean {
    const records = this.#parts.devices.after(this.#passed, most);
    for (const record of records) {
      this.#passed = record.id;
      if (!this.#ahead.delete(record.id)) this.#take(record);
    }
    if (records.length === most) return true;
    this.#passed = Infinity;
    this.flush();
    return false;
  }

  /** What was taken is in pieces: a commit has all that roots count. */
  flush(): void {
    if (this.#records.length === 0) return;
    this.#parts.heldRoots.add(this.#records);
    this.#records = [];
  }

  #take(record: DeviceRecord): void {
    this.#parts.table.share(record.root);
    this.#records.push(record);
    this.#parts.devices.noteExclusive(record.id, 0);
    if (this.#records.length >= HELD_PER_PIECE) this.flush();
  }
}

import { ThinError } from '../errors/thin-error.js';
import type { DeviceId } from '../format/ids.js';
import type { Metadata } from '../metadata/metadata.js';
import { DEVICES_PER_STEP } from './limits.js';

/** Leaves, and devices, looked at before other work gets its turn: about a millisecond. */
const LOOKS_PER_TURN = 64;
/** Milliseconds. */
const LATER = 1000;

/**
 * Keeps each device's count of chunks that it alone maps. A commit adjusts the count of the device it
 * changed; what that did to its relatives (a chunk of theirs may now be theirs alone) is found by walking the
 * nodes they do not share, in the background and in short steps, so that asking costs nothing. Marking costs
 * nothing either, however many relatives there are: a family is gone through once, and again at most once a
 * second while it changes.
 */
export class UsageCounter {
  readonly #metadata: Metadata;
  readonly #stale = new Set<DeviceId>();
  readonly #families = new Set<DeviceId>();
  /** To be gone through when the second is over. */
  readonly #later = new Set<DeviceId>();
  /** Gone through in this second, or about to be. */
  readonly #recent = new Set<DeviceId>();
  #everyDevice = false;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;
  #looks = 0;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  /** The device alone is counted anew, before all that is marked otherwise. */
  mark(id: DeviceId): void {
    this.#stale.add(id);
    this.#start();
  }

  /** All members of a family are counted anew. */
  markFamily(family: DeviceId): void {
    if (this.#recent.has(family)) {
      this.#later.add(family);
      return;
    }
    this.#recent.add(family);
    this.#families.add(family);
    this.#wake();
    this.#start();
  }

  /** The same within a second: commits may come hundreds to the second. */
  markFamilyLater(family: DeviceId): void {
    this.#later.add(family);
    this.#wake();
  }

  markAll(): void {
    this.#everyDevice = true;
    this.#start();
  }

  /** Resolves when every count is current. */
  async settle(): Promise<void> {
    this.#secondIsOver();
    while (this.#running !== undefined) await this.#running;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.settle();
  }

  #wake(): void {
    this.#timer ??= setTimeout(() => this.#secondIsOver(), LATER).unref();
  }

  #secondIsOver(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const later = [...this.#later];
    this.#later.clear();
    this.#recent.clear();
    for (const family of later) this.markFamily(family);
  }

  #start(): void {
    if (this.#stopped) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#hasMore) this.#start();
    });
  }

  get #hasMore(): boolean {
    return this.#stale.size > 0 || this.#families.size > 0 || this.#everyDevice;
  }

  async #run(): Promise<void> {
    await this.#turn();
    while (this.#hasMore && !this.#stopped) {
      await this.#countMarked();
      const family = this.#families.values().next().value;
      if (family !== undefined) {
        this.#families.delete(family);
        for (const id of this.#metadata.devices.family(family)) await this.#countNext(id);
      } else if (this.#everyDevice) {
        this.#everyDevice = false;
        await this.#countAll();
      }
    }
  }

  async #countAll(): Promise<void> {
    const { devices } = this.#metadata;
    let step = devices.after(0, DEVICES_PER_STEP);
    while (step.length > 0) {
      for (const { id } of step) await this.#countNext(id);
      step = devices.after(step.at(-1)!.id, DEVICES_PER_STEP);
    }
  }

  /** Devices that were marked alone come first. */
  async #countNext(id: DeviceId): Promise<void> {
    if (this.#stale.size > 0) await this.#countMarked();
    await this.#count(id);
  }

  async #countMarked(): Promise<void> {
    for (const id of this.#stale) {
      this.#stale.delete(id);
      await this.#count(id);
    }
  }

  async #count(id: DeviceId): Promise<void> {
    let exclusive = 0;
    let from: number | undefined = 0;
    while (from !== undefined) {
      if (this.#looks >= LOOKS_PER_TURN) await this.#turn();
      if (this.#stopped || !this.#metadata.devices.has(id)) return;
      const step = this.#step(id, from);
      if (step === undefined) return;
      this.#looks += 1 + step.leaves;
      exclusive += step.count;
      from = step.next;
    }
    this.#metadata.devices.noteExclusive(id, exclusive);
    // Caches the end now, so that a list of all devices descends no tree for it.
    this.#metadata.endOfMappings(id);
  }

  async #turn(): Promise<void> {
    await nextTurn();
    this.#looks = 0;
  }

  /** Undefined: the tree is damaged. Readers of the device get the error; its count does not change. */
  #step(id: DeviceId, from: number): ReturnType<Metadata['countExclusive']> | undefined {
    try {
      return this.#metadata.countExclusive(id, from, LOOKS_PER_TURN - this.#looks);
    } catch (error) {
      if (error instanceof ThinError && error.code === 'damaged') return undefined;
      throw error;
    }
  }
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

import { ThinError } from '../errors/thin-error.js';
import type { DeviceId } from '../format/ids.js';
import type { Metadata } from '../metadata/metadata.js';

/** Leaves looked at before other work gets its turn: about a millisecond. */
const LEAVES_PER_STEP = 64;
/** Devices that share all, or nearly all, so that one costs hardly more than the next. */
const DEVICES_PER_TURN = 64;
/** Milliseconds. */
const LATER = 1000;

/**
 * Keeps each device's count of chunks that it alone maps. A commit adjusts the count of the device it changed; what that did to its
 * relatives (a chunk of theirs may now be theirs alone) is found by walking the nodes they do not share, in the
 * background and in short steps, so that asking costs nothing.
 */
export class UsageCounter {
  readonly #metadata: Metadata;
  readonly #stale = new Set<DeviceId>();
  readonly #later = new Set<DeviceId>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  /** All members of a family are counted anew. */
  markFamily(family: DeviceId): void {
    for (const record of this.#metadata.devices.all())
      if (record.family === family) this.#stale.add(record.id);
    this.#start();
  }

  /** The same within a second: commits may come hundreds to the second. */
  markFamilyLater(family: DeviceId): void {
    this.#later.add(family);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const families = [...this.#later];
      this.#later.clear();
      for (const each of families) this.markFamily(each);
    }, LATER).unref();
  }

  markAll(): void {
    for (const record of this.#metadata.devices.all()) this.#stale.add(record.id);
    this.#start();
  }

  /** Resolves when every count is current. */
  async settle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.settle();
  }

  #start(): void {
    if (this.#stopped) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#stale.size > 0) this.#start();
    });
  }

  async #run(): Promise<void> {
    await nextTurn();
    let counted = 0;
    for (const id of this.#stale) {
      this.#stale.delete(id);
      await this.#count(id);
      if (++counted % DEVICES_PER_TURN === 0) await nextTurn();
    }
  }

  async #count(id: DeviceId): Promise<void> {
    let exclusive = 0;
    let from: number | undefined = 0;
    while (from !== undefined) {
      if (this.#stopped || !this.#metadata.devices.has(id)) return;
      const step = this.#step(id, from);
      if (step === undefined) return;
      exclusive += step.count;
      from = step.next;
      if (from !== undefined) await nextTurn();
    }
    this.#metadata.devices.noteExclusive(id, exclusive);
    // Known from now on, so that nobody has to go down the tree who wants all devices described.
    this.#metadata.endOfMappings(id);
  }

  /** Undefined: the tree is damaged, which whoever reads the device hears of; its count stays as it was. */
  #step(id: DeviceId, from: number): ReturnType<Metadata['countExclusive']> | undefined {
    try {
      return this.#metadata.countExclusive(id, from, LEAVES_PER_STEP);
    } catch (error) {
      if (error instanceof ThinError && error.code === 'damaged') return undefined;
      throw error;
    }
  }
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

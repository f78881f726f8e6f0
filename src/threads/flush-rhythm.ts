import { threadInts } from './dirty-map.js';

const WRITES = 0;
const SINGLE = 1;

/** Flushes in a row, each after one write alone, from which on the next write is taken to have one, too. */
const SURE = 16;

/**
 * Whether one program writes and flushes in turns, and nobody else asks for anything: then the flush that is
 * to come can begin with the write. A wrong guess costs one sync, and the next needs as long a row.
 */
export class FlushRhythm {
  readonly memory: Int32Array;

  constructor(memory = threadInts(2)) {
    this.memory = memory;
  }

  /** A write begins. */
  write(): void {
    Atomics.add(this.memory, WRITES, 1);
  }

  flush(): void {
    if (Atomics.exchange(this.memory, WRITES, 0) === 1) Atomics.add(this.memory, SINGLE, 1);
    else Atomics.store(this.memory, SINGLE, 0);
  }

  other(): void {
    if (Atomics.load(this.memory, SINGLE) !== 0) Atomics.store(this.memory, SINGLE, 0);
  }

  /** After a write was answered. */
  get expectsFlush(): boolean {
    return Atomics.load(this.memory, SINGLE) >= SURE && Atomics.load(this.memory, WRITES) <= 1;
  }
}

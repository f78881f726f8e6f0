import { constants } from 'node:os';
import { writeSync } from 'node:fs';
import { MARK_SLOT_BYTES, MARK_SLOT_STEP, packMarkSlot } from '../format/commit-number.js';
import { LOG_LINE, logSalt } from '../format/log-record.js';
import { threadInts } from '../threads/dirty-map.js';
import { lock, unlock } from '../threads/spin-lock.js';
import { syncMemory, SyncUnderWay, type SyncMemory } from '../threads/sync-under-way.js';

/** Words of `LogMemory.words`. */
const STATE = 0;
const LOCK = 1;
const USED = 2;
const FAILED = 3;
const MARK_LOCK = 4;
const MARK_TURN = 5;
const MARK_FRESH = 6;
const WORDS = 7;

/** Positions of `LogMemory.positions`. */
const HEAD = 0;
const SYNCED = 1;
const DATA_SYNCED = 2;
const DATA_HEAD = 3;
const POSITIONS = 4;

/** Of `STATE`: nothing is written down yet, or any more; it is; it could not be. */
export type LogPhase = 'off' | 'on' | 'broken';
const PHASES: readonly LogPhase[] = ['off', 'on', 'broken'];

/** What another thread needs to write to the log; descriptors belong to the process. */
export interface LogMemory {
  readonly id: string;
  readonly epoch: number;
  readonly fd: number;
  /** Of the log's mark; below 0: there is none. */
  readonly markFd: number;
  /** Bytes of the ring, and where it begins in the file. */
  readonly ring: number;
  readonly start: number;
  /**
   * HEAD: where the next record goes. SYNCED: what stands before it is on the disk. DATA_SYNCED: and the data
   * that went to a data file. DATA_HEAD: behind it stand only records that name no data.
   */
  readonly positions: BigInt64Array;
  /**
   * USED: lines between what the store has and the head, and those that requests have reserved. FAILED: errno
   * of a sync.
   */
  readonly words: Int32Array;
  readonly underWay: SyncMemory;
}

export function logMemory(file: Omit<LogMemory, 'positions' | 'words' | 'underWay'>): LogMemory {
  return {
    ...file,
    positions: new BigInt64Array(new SharedArrayBuffer(POSITIONS * 8)),
    words: threadInts(WORDS),
    underWay: syncMemory(),
  };
}

/** The name that the log's mark has of an epoch. */
export function logName({ id, epoch }: { readonly id: string; readonly epoch: number }): string {
  return `${id}/${epoch}`;
}

/** What the threads of a process share of its log. */
export class LogWords {
  readonly salt: number;
  readonly memory: LogMemory;
  readonly underWay: SyncUnderWay;

  constructor(memory: LogMemory) {
    this.memory = memory;
    this.underWay = new SyncUnderWay(memory.underWay);
    this.salt = logSalt(memory.id, memory.epoch);
  }

  get phase(): LogPhase {
    return PHASES[Atomics.load(this.memory.words, STATE)]!;
  }

  set phase(phase: LogPhase) {
    Atomics.store(this.memory.words, STATE, PHASES.indexOf(phase));
  }

  get isOn(): boolean {
    return Atomics.load(this.memory.words, STATE) === 1;
  }

  /** Bytes since the epoch began. */
  get head(): number {
    return Number(Atomics.load(this.memory.positions, HEAD));
  }

  /** The end of the last record whose data may have to be synced. */
  get dataHead(): number {
    return Number(Atomics.load(this.memory.positions, DATA_HEAD));
  }

  get synced(): number {
    return Number(Atomics.load(this.memory.positions, SYNCED));
  }

  get dataSynced(): number {
    return Number(Atomics.load(this.memory.positions, DATA_SYNCED));
  }

  /** How full it is, 0 to 1. */
  get fullness(): number {
    return (Atomics.load(this.memory.words, USED) * LOG_LINE) / this.memory.ring;
  }

  /** Runs `append`, which returns the new head, while no other thread appends. */
  append(namesData: boolean, appendAt: (head: number) => number): void {
    const { words, positions } = this.memory;
    lock(words, LOCK);
    try {
      const head = this.head;
      const next = appendAt(head);
      Atomics.add(words, USED, (next - head) / LOG_LINE);
      Atomics.store(positions, HEAD, BigInt(next));
      if (namesData) Atomics.store(positions, DATA_HEAD, BigInt(next));
    } finally {
      unlock(words, LOCK);
    }
  }

  /** False where so many lines are not to be had before the store has taken over what is there. */
  reserve(lines: number): boolean {
    const { words, ring } = this.memory;
    if ((Atomics.add(words, USED, lines) + lines) * LOG_LINE <= ring || !this.isOn) return true;
    Atomics.sub(words, USED, lines);
    return false;
  }

  /** Releases a reservation; the written part counts separately. */
  release(lines: number): void {
    Atomics.sub(this.memory.words, USED, lines);
  }

  /** The store has what stands in `bytes` behind where it came before. */
  free(bytes: number): void {
    Atomics.sub(this.memory.words, USED, bytes / LOG_LINE);
  }

  /** What stands before the position is on the disk; from when it returns, the mark says so. */
  noteSynced(position: number): void {
    const { words, positions, markFd } = this.memory;
    lock(words, MARK_LOCK);
    try {
      if (position <= this.synced) return;
      if (markFd >= 0) {
        const turn = Atomics.load(words, MARK_TURN);
        const slot = packMarkSlot({ store: logName(this.memory), number: position });
        writeSync(markFd, slot, 0, MARK_SLOT_BYTES, turn * MARK_SLOT_STEP);
        Atomics.store(words, MARK_TURN, 1 - turn);
        Atomics.store(words, MARK_FRESH, 1);
      }
    } catch {
      // It says less than it could. What is lost later may go unseen, and nothing is lost by this.
    } finally {
      if (position > this.synced) Atomics.store(positions, SYNCED, BigInt(position));
      unlock(words, MARK_LOCK);
    }
  }

  noteDataSynced(position: number): void {
    const { positions } = this.memory;
    for (let now = Atomics.load(positions, DATA_SYNCED); now < BigInt(position);) {
      const before = Atomics.compareExchange(positions, DATA_SYNCED, now, BigInt(position));
      if (before === now) return;
      now = before;
    }
  }

  /** Whether the mark was written since the last call. */
  takeFreshMark(): boolean {
    return Atomics.exchange(this.memory.words, MARK_FRESH, 0) !== 0;
  }

  /** It could not be written or synced: from now on only the store makes durable. */
  fail(error: unknown): void {
    const { errno } = error as NodeJS.ErrnoException;
    Atomics.store(this.memory.words, FAILED, Math.abs(errno ?? constants.errno.EIO));
    this.phase = 'broken';
  }

  /** errno of the failure; 0: none. */
  get failure(): number {
    return Atomics.load(this.memory.words, FAILED);
  }
}

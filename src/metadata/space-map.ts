import assert from 'node:assert/strict';
import { ENTRIES_PER_SHEET, packSpaceMapSheet, unpackSpaceMapSheet } from '../format/space-map-sheet.js';
import { BusyMap } from './busy-map.js';

/** A count that does not fit into the byte an entry has; the real one is in the overflow map. */
const OVERFLOW = 255;

/**
 * Reference counts of a numbered space: chunks of the pool or nodes of its trees
 * (persistent-data/dm-space-map-disk.c).
 *
 * An entry is free, *taken* (handed out, but nothing refers to it yet: known to memory alone, so a crash
 * forgets it), counted, or *freed*: its count fell to zero in a transaction that is not durable yet, and
 * until `release` it is not handed out again, so that a crash finds the old owner's contents untouched.
 */
export class SpaceMap {
  #limit: number;
  /** Not to be handed out. */
  readonly #busy = new BusyMap();
  readonly #counts = new Map<number, Uint8Array>();
  readonly #overflow = new Map<number, number>();
  readonly #dirty = new Set<number>();
  #freed: number[] = [];
  /** Of the open transaction, and of the one that is on its way to the store. */
  #lowered: [open: Set<number>, committing: Set<number>] = [new Set(), new Set()];
  #counted = 0;
  #taken = 0;
  /** Freed entries, whether still in `#freed` or on their way to `release`. */
  #unreleased = 0;
  #cursor = 0;

  /** @param limit entries in all; the bit map grows with use, not with the limit */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get limit(): number {
    return this.#limit;
  }

  /** Entries with a count or taken. */
  get used(): number {
    return this.#counted + this.#taken;
  }

  /** Entries with a count: what is in use in the next commit. */
  get counted(): number {
    return this.#counted;
  }

  /** Entries that `take` can hand out now. */
  get available(): number {
    return this.#limit - this.#counted - this.#taken - this.#unreleased;
  }

  /** Entries whose count fell to zero and that come back with the next durable commit. */
  get awaitingRelease(): number {
    return this.#unreleased;
  }

  /** One past the last entry that is not free. */
  get end(): number {
    return this.#busy.end;
  }

  extend(limit: number): void {
    assert(limit >= this.#limit, 'a space map only grows');
    this.#limit = limit;
  }

  /**
   * The next free entry, marked taken; undefined when none is left. Searches onward from the last one, as
   * dm-thin does.
   */
  take(): number | undefined {
    if (this.available <= 0) return undefined;
    const entry = this.#busy.nextFree(this.#cursor, this.#limit) ?? this.#busy.nextFree(0, this.#cursor);
    assert(entry !== undefined, 'a space map with free entries has one to give');
    this.#busy.set(entry);
    this.#taken++;
    this.#cursor = entry + 1 < this.#limit ? entry + 1 : 0;
    return entry;
  }

  /** Takes this entry. False where it is not free. */
  takeExactly(entry: number): boolean {
    if (entry >= this.#limit || this.#busy.get(entry)) return false;
    this.#busy.set(entry);
    this.#taken++;
    return true;
  }

  /** Gives back an entry that was taken and never counted. */
  putBack(entry: number): void {
    assert(this.#busy.get(entry) && this.count(entry) === 0, `entry ${entry} is not taken`);
    this.#busy.clear(entry);
    this.#taken--;
  }

  count(entry: number): number {
    const count = this.#counts.get(Math.floor(entry / ENTRIES_PER_SHEET))?.[entry % ENTRIES_PER_SHEET] ?? 0;
    return count === OVERFLOW ? this.#overflow.get(entry)! : count;
  }

  /** The new count. The entry is taken or has a count already. */
  increment(entry: number): number {
    const count = this.count(entry);
    assert(this.#busy.get(entry), `entry ${entry} is counted without having been taken`);
    if (count === 0) {
      this.#taken--;
      this.#counted++;
    }
    this.#store(entry, count + 1);
    return count + 1;
  }

  /** The new count; at zero the entry is freed. */
  decrement(entry: number): number {
    const count = this.count(entry);
    assert(count > 0, `entry ${entry} has no reference to drop`);
    this.#store(entry, count - 1);
    if (count === 2) this.#lowered[0].add(entry);
    if (count === 1) {
      this.#counted--;
      this.#unreleased++;
      this.#freed.push(entry);
    }
    return count - 1;
  }

  /**
   * Whether the entry had more references than one in the last durable commit, and has no more than that now.
   * After a crash it has them again, so the holder of the last one must not change the content in place yet.
   */
  wasShared(entry: number): boolean {
    return this.#lowered.some((entries) => entries.has(entry));
  }

  /** A commit takes the open transaction. */
  takeLowered(): void {
    const [open, committing] = this.#lowered;
    for (const entry of committing) open.add(entry);
    this.#lowered = [new Set(), open];
  }

  /** That commit is durable. */
  settleLowered(): void {
    this.#lowered[1].clear();
  }

  /** Entries freed since the last `takeFreed`, also those that are freed while they are gone through. */
  get freed(): readonly number[] {
    return this.#freed;
  }

  /** Entries freed since the last call, for the commit that makes it durable. */
  takeFreed(): readonly number[] {
    const freed = this.#freed;
    this.#freed = [];
    return freed;
  }

  /** After that commit is durable: these may be handed out again. */
  release(freed: readonly number[]): void {
    for (const entry of freed) this.#busy.clear(entry);
    this.#unreleased -= freed.length;
  }

  /** After that commit failed. */
  keepFreed(freed: readonly number[]): void {
    this.#freed = [...freed, ...this.#freed];
  }

  /** Sheets changed since the last call. */
  takeDirty(): readonly number[] {
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    return dirty;
  }

  keepDirty(sheets: readonly number[]): void {
    for (const sheet of sheets) this.#dirty.add(sheet);
  }

  /** The sheet's body, or undefined when nothing in it has a count: then it is not stored at all. */
  packSheet(sheet: number): Uint8Array | undefined {
    const counts = this.#counts.get(sheet);
    if (counts?.some((count) => count !== 0) !== true) return undefined;
    const first = sheet * ENTRIES_PER_SHEET;
    return packSpaceMapSheet((index) => {
      const count = counts[index]!;
      return count === OVERFLOW ? this.#overflow.get(first + index)! : count;
    });
  }

  /** Takes in a stored sheet, at open. @throws ThinError damaged, naming `path` */
  loadSheet(sheet: number, body: Uint8Array, path: string): void {
    const first = sheet * ENTRIES_PER_SHEET;
    unpackSpaceMapSheet(body, path, (index, count) => {
      this.#busy.set(first + index);
      this.#counted++;
      this.#store(first + index, count);
    });
    this.#dirty.delete(sheet);
  }

  #store(entry: number, count: number): void {
    const sheet = Math.floor(entry / ENTRIES_PER_SHEET);
    let counts = this.#counts.get(sheet);
    if (counts === undefined) this.#counts.set(sheet, (counts = new Uint8Array(ENTRIES_PER_SHEET)));
    if (count >= OVERFLOW) this.#overflow.set(entry, count);
    else if (counts[entry % ENTRIES_PER_SHEET] === OVERFLOW) this.#overflow.delete(entry);
    counts[entry % ENTRIES_PER_SHEET] = Math.min(count, OVERFLOW);
    this.#dirty.add(sheet);
  }
}

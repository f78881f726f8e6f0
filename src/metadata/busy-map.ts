import BitField from 'bitfield';

/** Entries of a level that one bit of the level above stands for: 32 bytes to look at. */
const FANOUT = 256;

/**
 * One bit an entry, set where it is busy. Levels above it have a bit for each block of entries (and of
 * blocks) that is busy throughout, so that the next free entry is found in a few steps in a map of any size,
 * however full. Entries that were never set take no memory.
 */
export class BusyMap {
  readonly #levels: BitField[] = [newLevel()];

  get(entry: number): boolean {
    return this.#levels[0]!.get(entry);
  }

  set(entry: number): void {
    let at = entry;
    for (let level = 0; ; level++) {
      (this.#levels[level] ??= newLevel()).set(at);
      const block = Math.floor(at / FANOUT);
      if (this.firstFree(level, block * FANOUT) !== undefined) return;
      at = block;
    }
  }

  clear(entry: number): void {
    let at = entry;
    for (const level of this.#levels) {
      if (!level.get(at)) return;
      level.set(at, false);
      at = Math.floor(at / FANOUT);
    }
  }

  /** The first free entry in [from, to). */
  nextFree(from: number, to: number): number | undefined {
    let at = from;
    let level = 0;
    let found = this.firstFree(level, at);
    while (found === undefined) {
      at = Math.floor(at / FANOUT) + 1;
      found = this.firstFree(++level, at);
    }
    while (level > 0) found = this.firstFree(--level, found * FANOUT)!;
    return found < to ? found : undefined;
  }

  /** One past the last busy entry. Costs as much as there is free space behind it. */
  get end(): number {
    const [entries] = this.#levels;
    const bytes = entries!.buffer;
    let at = bytes.length;
    while (at > 0 && bytes[at - 1] === 0) at--;
    for (let entry = at * 8; entry > 0; entry--) if (entries!.get(entry - 1)) return entry;
    return 0;
  }

  /** The first clear bit of a level from `from` to the end of its block. */
  protected firstFree(level: number, from: number): number | undefined {
    const bits = this.#levels[level];
    if (bits === undefined) return from;
    const bytes = bits.buffer;
    const end = (Math.floor(from / FANOUT) + 1) * FANOUT;
    for (let at = from; at < end;) {
      if (at % 8 === 0 && bytes[at / 8] === 0xff) at += 8;
      else if (bits.get(at)) at++;
      else return at;
    }
    return undefined;
  }
}

function newLevel(): BitField {
  return new BitField(0, { grow: Infinity });
}

import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { BLOCK, TEST_OPTIONS } from './small-pool.js';

const SECTOR = 512;
const SECTORS_PER_BLOCK = BLOCK / SECTOR;
const MOST_DEVICES = 6;
const MOST_SECTORS = 20 * SECTORS_PER_BLOCK;

/**
 * All devices of a pool: one byte for each sector, the one that the sector is full of. Arrays in it are never
 * changed.
 */
export type PoolState = ReadonlyMap<DeviceName, Uint8Array>;

/** Numbers in [0, below) that a seed repeats (mulberry32). */
export function seededNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export const INITIAL_STATE: PoolState = new Map([
  [BASE_NAME, new Uint8Array(TEST_OPTIONS.baseSize / SECTOR)],
]);

/** What the pool's devices read as. Each sector must be of one byte: half a write is none. */
export async function readState(pool: ThinPool): Promise<PoolState> {
  const state = new Map<DeviceName, Uint8Array>();
  for (const { name } of pool.devices()) {
    const file = await pool.activate(name);
    const bytes = new Uint8Array(file.size);
    await file.read(0, bytes);
    const sectors = new Uint8Array(file.size / SECTOR);
    for (let i = 0; i < sectors.length; i++) sectors[i] = bytes[i * SECTOR]!;
    assert.ok(expand(sectors).equals(bytes), `${name}: a sector holds parts of two writes`);
    state.set(name, sectors);
  }
  return state;
}

export function isSameState(a: PoolState, b: PoolState): boolean {
  return (
    a.size === b.size &&
    [...a].every(([name, sectors]) => {
      const others = b.get(name);
      return others !== undefined && Buffer.from(sectors).equals(others);
    })
  );
}

/** Says where two states differ, for a message. */
export function describeDifference(found: PoolState, expected: PoolState): string {
  for (const name of new Set([...found.keys(), ...expected.keys()])) {
    const [a, b] = [found.get(name), expected.get(name)];
    if (a === undefined || b === undefined) return `${name} is ${a === undefined ? 'missing' : 'too many'}`;
    if (a.length !== b.length) return `${name} has ${a.length} sectors, not ${b.length}`;
    const at = a.findIndex((byte, i) => byte !== b[i]);
    if (at >= 0) return `${name}, sector ${at}: ${a[at]} where ${b[at]} was written`;
  }
  return 'nothing';
}

/**
 * Random work on a pool and on a model of it, the same for the same seed. `history[i]` is the model after `i`
 * steps; `durable` is the last of them that the pool promised to keep.
 */
export class SectorWorkload {
  readonly history: PoolState[];
  durable = 0;
  readonly #pool: ThinPool;
  readonly #next: (below: number) => number;
  readonly #prefix: string;
  #made = 0;

  /** @param prefix begins the names it makes, so that two workloads on one pool do not meet */
  constructor(pool: ThinPool, start: PoolState, seed: number, prefix: string) {
    this.#pool = pool;
    this.history = [start];
    this.#next = seededNumbers(seed);
    this.#prefix = prefix;
  }

  get state(): PoolState {
    return this.history[this.history.length - 1]!;
  }

  /** @throws what the pool throws; the step that failed is in the history */
  async run(steps: number): Promise<void> {
    for (let left = steps; left > 0; left--) await this.step();
  }

  async step(): Promise<void> {
    const names = [...this.state.keys()];
    const name = names[this.#next(names.length)]!;
    const dice = this.#next(100);
    if (dice < 46) await this.#fill(name, dice < 5 ? 0 : 1 + this.#next(255));
    else if (dice < 54) await this.#discard(name, false);
    else if (dice < 58) await this.#discard(name, true);
    else if (dice < 70) await this.#flush(name);
    else if (dice < 82) await (names.length < MOST_DEVICES ? this.#snapshot(name) : this.#remove(name));
    else if (dice < 87) await this.#remove(name);
    else if (dice < 92) await this.#rename(name);
    else if (dice < 96) await this.#grow(name);
    else await this.#deactivate(name);
  }

  async #fill(name: DeviceName, fill: number): Promise<void> {
    const { offset, length, sectors } = this.#range(name);
    sectors.fill(fill, offset, offset + length);
    const file = await this.#pool.activate(name);
    this.#record(name, sectors);
    await file.write(offset * SECTOR, new Uint8Array(length * SECTOR).fill(fill));
  }

  async #discard(name: DeviceName, zero: boolean): Promise<void> {
    const { offset, length, sectors } = this.#range(name);
    const stop = offset + length;
    const end = stop === sectors.length ? stop : stop - (stop % SECTORS_PER_BLOCK);
    const first = Math.ceil(offset / SECTORS_PER_BLOCK) * SECTORS_PER_BLOCK;
    if (zero) sectors.fill(0, offset, stop);
    else if (first < end) sectors.fill(0, first, end);
    const file = await this.#pool.activate(name);
    this.#record(name, sectors);
    await (zero
      ? file.writeZeroes(offset * SECTOR, length * SECTOR)
      : file.discard(offset * SECTOR, length * SECTOR));
  }

  async #flush(name: DeviceName): Promise<void> {
    await (await this.#pool.activate(name)).flush();
    this.#promised();
  }

  async #deactivate(name: DeviceName): Promise<void> {
    await this.#pool.deactivate(name);
  }

  async #snapshot(origin: DeviceName): Promise<void> {
    const name = this.#newName();
    this.#record(name, this.state.get(origin));
    await this.#pool.createSnapshot({ name, origin, kind: 'snapshot' });
    this.#promised();
  }

  async #remove(name: DeviceName): Promise<void> {
    if (name === BASE_NAME) return;
    await this.#pool.deactivate(name);
    this.#record(name, undefined);
    await this.#pool.remove(name);
    this.#promised();
  }

  async #rename(name: DeviceName): Promise<void> {
    if (name === BASE_NAME) return;
    await this.#pool.deactivate(name);
    const to = this.#newName();
    const sectors = this.state.get(name)!;
    this.history.push(new Map([...this.state].filter(([other]) => other !== name).concat([[to, sectors]])));
    await this.#pool.rename(name, to);
    this.#promised();
  }

  async #grow(name: DeviceName): Promise<void> {
    const old = this.state.get(name)!;
    const length = Math.min(MOST_SECTORS, old.length + this.#next(2 * SECTORS_PER_BLOCK));
    const sectors = new Uint8Array(length);
    sectors.set(old);
    this.#record(name, sectors);
    await this.#pool.grow(name, length * SECTOR);
    this.#promised();
  }

  #promised(): void {
    this.durable = this.history.length - 1;
  }

  #newName(): DeviceName {
    return `${this.#prefix}${this.#made++}` as DeviceName;
  }

  #range(name: DeviceName): { offset: number; length: number; sectors: Uint8Array } {
    const sectors = this.state.get(name)!.slice();
    const offset = this.#next(sectors.length);
    return {
      offset,
      length: Math.min(sectors.length - offset, 1 + this.#next(3 * SECTORS_PER_BLOCK)),
      sectors,
    };
  }

  #record(name: DeviceName, sectors: Uint8Array | undefined): void {
    const state = new Map(this.state);
    if (sectors === undefined) state.delete(name);
    else state.set(name, sectors);
    this.history.push(state);
  }
}

function expand(sectors: Uint8Array): Buffer {
  const bytes = Buffer.alloc(sectors.length * SECTOR);
  for (let from = 0; from < sectors.length;) {
    let to = from;
    while (to < sectors.length && sectors[to] === sectors[from]) to++;
    bytes.fill(sectors[from]!, from * SECTOR, to * SECTOR);
    from = to;
  }
  return bytes;
}

import type { PoolFigures } from './figures.js';
import type { SpaceEvent } from './space-events.js';

/** The disk that a pool's LevelDB folder is on. */
export interface HostDisk {
  /** Bytes that can still be written, now. Cheap: it is asked at each commit. */
  free(): number;
  /** Bytes in all. */
  readonly total: number;
  /**
   * The reserve: bytes kept from everybody else, given up when the disk is short and taken again when it is
   * not.
   */
  holdReserve(): Promise<void>;
  releaseReserve(): Promise<void>;
}

export interface HostOptions {
  /** The disk of the store's folder; undefined for a store that is on none. */
  readonly hostDisk?: HostDisk | undefined;
  /** Bytes to keep free on it; by its size, where undefined. */
  readonly hostFloor?: number | undefined;
}

/**
 * LevelDB writes its log, a table of the same size when that is full, and tables again when it compacts.
 * Where it finds no room for one it takes no batches any more.
 */
const FLOOR = 2 ** 30;
/** Of a disk so small that this would be most of it. */
const FLOOR_PARTS = 16;
/** How much more must be free before writing goes on, so that it does not stop again at once. */
const SLACK = 1.25;

/** Keeps a pool from filling its host's disk to where commits and removals would fail. */
export class HostGuard {
  readonly #disk: HostDisk | undefined;
  readonly #tell: (event: SpaceEvent) => void;
  readonly #floor: number;
  #short = false;
  #moving: Promise<void> = Promise.resolve();

  /** @param disk undefined: a store that is on none */
  constructor(disk: HostDisk | undefined, tell: (event: SpaceEvent) => void, floor?: number) {
    this.#disk = disk;
    this.#tell = tell;
    this.#floor = floor ?? (disk === undefined ? 0 : Math.min(FLOOR, Math.floor(disk.total / FLOOR_PARTS)));
  }

  get isShort(): boolean {
    return this.#short;
  }

  /** Bytes of the disk now, and those to keep free on it. Undefined: no disk. */
  get figures(): PoolFigures['host'] {
    const disk = this.#disk;
    return disk === undefined ? undefined : { free: disk.free(), total: disk.total, floor: this.#floor };
  }

  /** Undefined: no disk. */
  get free(): number | undefined {
    return this.#disk?.free();
  }

  /** Looks again. @returns whether it changed */
  look(): boolean {
    if (this.#disk === undefined) return false;
    const free = this.#disk.free();
    const short = free < (this.#short ? this.#floor * SLACK : this.#floor);
    return this.#set(short, free);
  }

  /** A batch found no room, whatever the disk says. @returns whether that is news */
  noteFull(): boolean {
    return this.#disk === undefined ? false : this.#set(true, this.#disk.free());
  }

  /** Resolves when the reserve is as it should be. */
  async settled(): Promise<void> {
    await this.#moving;
  }

  #set(short: boolean, free: number): boolean {
    if (short === this.#short) return false;
    this.#short = short;
    this.#tell({ kind: 'host-disk', state: short ? 'short' : 'enough', free });
    const disk = this.#disk!;
    this.#moving = this.#moving
      .then(() => (short ? disk.releaseReserve() : disk.holdReserve()))
      .catch(() => undefined);
    return true;
  }
}

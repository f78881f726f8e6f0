import type { SpaceEvent, SpaceName } from './space-events.js';

/** Percent in use (lvmthin(7), "Data space exhaustion"): dmeventd warns at each. */
const THRESHOLDS = [80, 85, 90, 95, 100] as const;
/**
 * Blocks: what Docker's driver and containerd's give the kernel (moby devmapper.go, `CreatePool`), as far as
 * a pool is that large.
 */
const DATA_LOW_WATER = 32_768;
/** Blocks (dm-thin.c, `calc_metadata_threshold`). */
const METADATA_LOW_WATER = 1024;

/** Blocks of one space, and what a block has in bytes. */
export interface SpaceUse {
  readonly used: number;
  readonly total: number;
  readonly blockSize: number;
}

/** The last report about a space. */
interface Told {
  percent: number;
  low: boolean;
}

/** Free blocks at which a pool is low. @param own the pool's own mark; 0: none */
export function lowWaterMark(space: SpaceName, total: number, own = 0): number {
  if (own > 0) return Math.min(own, total);
  return space === 'data'
    ? Math.min(DATA_LOW_WATER, Math.floor(total / 20))
    : Math.min(METADATA_LOW_WATER, Math.floor(total / 4));
}

/** The highest threshold that is reached; 0 for none. */
export function thresholdOf({ used, total }: SpaceUse): number {
  return THRESHOLDS.findLast((percent) => used * 100 >= total * percent) ?? 0;
}

/** Tells of a space when something about it changed. */
export class SpaceWatch {
  readonly #told: Record<SpaceName, Told> = {
    data: { percent: 0, low: false },
    metadata: { percent: 0, low: false },
  };
  readonly #tell: (event: SpaceEvent) => void;

  constructor(tell: (event: SpaceEvent) => void) {
    this.#tell = tell;
  }

  /** @param own the pool's own low-water mark, bytes; 0: none */
  note(space: SpaceName, use: SpaceUse, own = 0): void {
    const told = this.#told[space];
    const percent = thresholdOf(use);
    if (percent > told.percent)
      this.#tell({
        kind: 'threshold',
        space,
        percent,
        used: use.used * use.blockSize,
        total: use.total * use.blockSize,
      });
    told.percent = percent;
    const mark = lowWaterMark(space, use.total, Math.ceil(own / use.blockSize));
    const free = use.total - use.used;
    if (free <= mark && !told.low)
      this.#tell({ kind: 'low-water', space, free: free * use.blockSize, mark: mark * use.blockSize });
    told.low = free <= mark;
  }
}

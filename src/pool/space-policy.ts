import { ThinError } from '../errors/thin-error.js';
import type { DataPlane } from '../io/data-plane.js';
import type { Metadata } from '../metadata/metadata.js';
import type { PoolMode, PoolOptions } from './info.js';
import { WAIT_STEP } from './limits.js';

/** What the policy asks of its pool. */
export interface SpacePolicyPool {
  options(): PoolOptions;
  mode(): PoolMode;
  setMode(mode: PoolMode, reason: string): void;
  pendingMappings(): number;
  commit(): Promise<void>;
  isClosing(): boolean;
}

/** What a pool does when its space runs out (dm-thin.c, `check_for_data_space`; Docker's poolHasFreeSpace). */
export class SpacePolicy {
  readonly #plane: DataPlane;
  readonly #metadata: Metadata;
  readonly #pool: SpacePolicyPool;

  constructor(plane: DataPlane, metadata: Metadata, pool: SpacePolicyPool) {
    this.#plane = plane;
    this.#metadata = metadata;
    this.#pool = pool;
  }

  /** Docker's poolHasFreeSpace: only where devices are made, data and metadata apart. @throws ThinError no-space */
  requireFreeSpace(): void {
    const { nodes, chunks } = this.#metadata;
    const { minFreeSpace } = this.#pool.options();
    for (const [limit, free, what] of [
      [chunks.limit, this.#plane.available + this.#plane.returning, 'data'],
      [nodes.limit, nodes.limit - nodes.used, 'metadata'],
    ] as const) {
      const least = Math.floor((limit * minFreeSpace) / 100);
      if (free < least)
        throw new ThinError(
          'no-space',
          `the pool has ${String(free)} free ${what} blocks, fewer than the ${String(least)} that dm.min_free_space=${String(minFreeSpace)}% keeps; remove devices or lower dm.min_free_space`,
        );
    }
  }

  /** Resolves when a chunk may be had. @throws ThinError no-space, at once or when the pool's timeout is over */
  async waitForSpace(device: string): Promise<void> {
    // What was freed in the open transaction comes back with its commit, also what active devices have only just discarded.
    if (this.#plane.returning > 0 || this.#pool.pendingMappings() > 0) {
      await this.#pool.commit();
      await this.#plane.recycled();
      if (this.#plane.refill()) return;
    }
    this.#pool.setMode('out_of_data_space', `no free chunk for device ${device}`);
    const { errorIfNoSpace, noSpaceTimeout } = this.#pool.options();
    const until = noSpaceTimeout === 0 ? Infinity : Date.now() + noSpaceTimeout * 1000;
    while (!errorIfNoSpace && Date.now() < until && !this.#pool.isClosing()) {
      await new Promise((resolve) => setTimeout(resolve, WAIT_STEP));
      if (this.#plane.refill()) {
        this.noteRoom();
        return;
      }
    }
    throw new ThinError(
      'no-space',
      `the pool is full; device ${device} cannot be written to until space is freed`,
    );
  }

  /** Chunks have become free, which may be what a full pool lacked. */
  noteRoom(): void {
    if (this.#pool.mode() === 'out_of_data_space' && this.#plane.refill())
      this.#pool.setMode('rw', 'there is room again');
  }
}

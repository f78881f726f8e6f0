import { NEVER_EXTEND } from '../config/defaults.js';
import { ThinError } from '../errors/thin-error.js';
import { MAX_CHUNKS } from '../format/ids.js';
import { METADATA_BLOCK_SIZE } from './create-pool.js';
import { chunkCapacity } from './open-chunks.js';
import type { PoolState } from './pool-state.js';
import type { SpaceName } from './space-events.js';
import type { SpaceRequest } from './thin-pool.js';

/**
 * Makes a `direct` pool's data hold so many chunks, durably. Resolves to what is left to do when the
 * superblock counts them.
 */
export type GrowData = (chunks: number) => Promise<() => Promise<void>>;

/** How a pool's data grows. */
export interface GrowthOptions {
  /** `direct` pools; undefined where their data cannot grow. */
  readonly growData?: GrowData | undefined;
  /** Chunks that the disk of the data has room for; undefined: the data is on a filesystem. */
  readonly dataRoom?: (() => Promise<number | undefined>) | undefined;
  /**
   * Bytes that more data finds on its disk. Default: what the disk of the store's folder has; undefined where
   * data does not grow on a disk.
   */
  readonly dataFree?: (() => number | undefined) | undefined;
}

/** Blocks: chunks or nodes. */
interface Growth {
  readonly space: SpaceName;
  readonly from: number;
  readonly to: number;
}

/**
 * Makes a pool's data or metadata space larger while it works (dm-thin.c, `maybe_resize_data_dev`), when
 * asked or by LVM's rule.
 */
export class Extender {
  readonly #state: PoolState;
  readonly #growData: GrowData | undefined;
  readonly #dataRoom: () => Promise<number | undefined>;
  /** What the filesystem that the data is on has free, bytes; undefined: it is on none. */
  readonly dataFree: () => number | undefined;
  /** Chunks that the open pool can address. */
  readonly #capacity: number;
  #last: Promise<unknown> = Promise.resolve();
  /** After a failed attempt, tries again only when the pool's use has changed. */
  readonly #failedAt = new Map<SpaceName, number>();

  constructor(state: PoolState, { growData, dataRoom, dataFree }: GrowthOptions) {
    this.#state = state;
    this.#growData = growData;
    this.#dataRoom = dataRoom ?? ((): Promise<undefined> => Promise.resolve(undefined));
    this.dataFree = dataFree ?? ((): number | undefined => state.host.free);
    this.#capacity = chunkCapacity(state.metadata.superblock);
  }

  /**
   * Bytes, rounded down to whole blocks; what is undefined stays. Errors: invalid-argument (would shrink),
   * too-large, no-space (the data device is no larger), and those of growing the data.
   */
  extend(to: SpaceRequest): Promise<void> {
    return this.#inTurn(async () => {
      const { superblock } = this.#state.metadata;
      const { blockSize } = superblock;
      if (to.data !== undefined) {
        const chunks = to.data === 'max' ? await this.#most() : Math.floor(to.data / blockSize);
        refuseShrinking('data', chunks, superblock.chunks, blockSize);
        await this.#grow({ space: 'data', from: superblock.chunks, to: chunks }, 'user');
      }
      if (to.metadata !== undefined) {
        const nodes = Math.floor(to.metadata / METADATA_BLOCK_SIZE);
        refuseShrinking('metadata', nodes, superblock.nodes, METADATA_BLOCK_SIZE);
        await this.#grow({ space: 'metadata', from: superblock.nodes, to: nodes }, 'user');
      }
    });
  }

  /** Chunks: as many as the data's disk holds beside what else is on it, and no fewer than now. */
  async #most(): Promise<number> {
    const { superblock, chunks } = this.#state.metadata;
    const room =
      (await this.#dataRoom()) ?? chunks.used + Math.floor((this.dataFree() ?? 0) / superblock.blockSize);
    return Math.max(superblock.chunks, Math.min(room, this.#capacity, MAX_CHUNKS));
  }

  /**
   * Grows what is in use beyond the threshold, as often as that takes; never rejects.
   * @param lacking a space without which a writer cannot go on, whatever the threshold
   * @returns whether anything grew
   */
  auto(used: Readonly<Record<SpaceName, number>>, lacking?: SpaceName): Promise<boolean> {
    return this.#inTurn(async () => {
      let grew = lacking !== undefined && (await this.#autoOne(lacking, used[lacking], true));
      for (const space of ['data', 'metadata'] as const)
        while (await this.#autoOne(space, used[space])) grew = true;
      return grew;
    });
  }

  /** Whether `auto` would try. */
  wants(used: Readonly<Record<SpaceName, number>>): boolean {
    return (['data', 'metadata'] as const).some((space) => this.#wantsOne(space, used[space]));
  }

  #wantsOne(space: SpaceName, used: number, lacking = false): boolean {
    const { autoextendThreshold } = this.#state.options;
    if (autoextendThreshold === NEVER_EXTEND) return false;
    return (
      lacking || (used * 100 > this.#total(space) * autoextendThreshold && this.#failedAt.get(space) !== used)
    );
  }

  async #autoOne(space: SpaceName, used: number, lacking = false): Promise<boolean> {
    if (!this.#wantsOne(space, used, lacking)) return false;
    const from = this.#total(space);
    const to = from + Math.max(1, Math.floor((from * this.#state.options.autoextendPercent) / 100));
    try {
      this.#requireHostRoom(space, to - from);
      await this.#grow({ space, from, to }, 'autoextend');
      this.#failedAt.delete(space);
      return true;
    } catch (error) {
      if (!this.#failedAt.has(space))
        this.#state.tell({
          kind: 'extend-failed',
          space,
          reason: error instanceof Error ? error.message : String(error),
        });
      this.#failedAt.set(space, used);
      return false;
    }
  }

  #requireHostRoom(space: SpaceName, blocks: number): void {
    const free = this.dataFree();
    const bytes = blocks * this.#blockSize(space);
    if (space === 'data' && free !== undefined && free < bytes)
      throw new ThinError('no-space', `the host's disk has ${free} bytes for ${bytes} more; make room there`);
  }

  async #grow({ space, from, to }: Growth, by: 'autoextend' | 'user'): Promise<void> {
    if (to === from) return;
    const { metadata } = this.#state;
    if (space === 'data') {
      if (to > MAX_CHUNKS)
        throw new ThinError('too-large', `a pool of ${to} chunks is more than the ${MAX_CHUNKS} that can be`);
      if (to > this.#capacity)
        throw new ThinError(
          'too-large',
          `while it is open, the pool can grow to ${this.#capacity * this.#blockSize('data')} bytes; stop and start the daemon, then go on`,
        );
      const settle = await this.#growData?.(to);
      metadata.changeSuperblock({ chunks: to });
      await this.#state.commit();
      await settle?.();
      metadata.chunks.extend(to);
    } else {
      if (to > 2 ** 32 - 1) throw new ThinError('too-large', 'a pool has at most 16 TiB of metadata');
      metadata.changeSuperblock({ nodes: to });
      // Before the commit, which may be waiting for them.
      metadata.nodes.extend(to);
      await this.#state.commit();
    }
    const size = this.#blockSize(space);
    this.#state.tell({ kind: 'extended', space, from: from * size, to: to * size, by });
    this.#state.space.noteRoom();
  }

  #total(space: SpaceName): number {
    const { superblock } = this.#state.metadata;
    return space === 'data' ? superblock.chunks : superblock.nodes;
  }

  #blockSize(space: SpaceName): number {
    return space === 'data' ? this.#state.metadata.superblock.blockSize : METADATA_BLOCK_SIZE;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

function refuseShrinking(space: SpaceName, to: number, from: number, blockSize: number): void {
  if (to < from)
    throw new ThinError(
      'invalid-argument',
      `the pool's ${space} has ${from * blockSize} bytes and cannot shrink to ${to * blockSize}`,
    );
}

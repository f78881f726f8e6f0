import { until } from '../async/until.js';
import { ThinError } from '../errors/thin-error.js';
import type { DeviceIo } from '../io/device-io.js';
import { METADATA_BLOCK_SIZE } from './create-pool.js';
import { WAIT_STEP } from './limits.js';
import type { PoolState } from './pool-state.js';
import { SpaceWatch } from './space-watch.js';

/** Chunks that requests on their way may still take when a device's threads are stopped. */
const IN_FLIGHT = 256;

/**
 * What a pool does when its space runs out (dm-thin.c, `check_for_data_space`; Docker's poolHasFreeSpace).
 */
export class SpacePolicy {
  readonly #state: PoolState;
  readonly #watch: SpaceWatch;
  #extending: Promise<unknown> = Promise.resolve();
  /** When the first writer began to wait, by `performance.now`; undefined: there was room since. */
  #fullSince: number | undefined;

  constructor(state: PoolState) {
    this.#state = state;
    this.#watch = new SpaceWatch((event) => state.tell(event));
  }

  /**
   * Docker's poolHasFreeSpace: only where devices are made, data and metadata apart. @throws ThinError
   * no-space
   */
  requireFreeSpace(): void {
    const { nodes, chunks } = this.#state.metadata;
    const { minFreeSpace } = this.#state.options;
    if (this.#state.host.isShort)
      throw new ThinError(
        'no-space',
        "the disk of the pool's folder is full; the pool makes no device until there is room on it",
      );
    for (const [limit, free, what] of [
      [chunks.limit, this.#state.plane.available + this.#state.plane.returning, 'data'],
      [nodes.limit, nodes.limit - nodes.used, 'metadata'],
    ] as const) {
      const least = Math.floor((limit * minFreeSpace) / 100);
      if (free < least)
        throw new ThinError(
          'no-space',
          `the pool has ${free} free ${what} blocks, fewer than the ${least} that dm.min_free_space=${minFreeSpace}% keeps; remove devices, extend the pool (thinfuse extend) or lower dm.min_free_space`,
        );
    }
  }

  /** Whether chunks may be handed out: mapping them takes room on the host's disk. */
  get mayTake(): boolean {
    return !this.#state.host.isShort;
  }

  /** Whether other threads may write to the device by themselves, until the next refill or commit. */
  threadsMayWrite(io: DeviceIo): boolean {
    if (this.#state.mode === 'ro' || this.#refusesAll) return false;
    const { quota } = this.#state.metadata.devices.get(io.device);
    return quota === 0 || this.#quotaLeft(io, quota) > this.#state.plane.mostAtHand + IN_FLIGHT;
  }

  /** After a refill or a commit. */
  noteUse(): void {
    for (const io of this.#state.active.values()) io.letThreadsWrite(this.threadsMayWrite(io));
  }

  /**
   * Before a write on the pool thread: undefined where it may go on, else resolves when it may.
   * @throws ThinError no-space: the device's quota is used up, or the host's disk is full
   */
  admit(io: DeviceIo, offset: number, length: number): Promise<void> | undefined {
    const { quota, name } = this.#state.metadata.devices.get(io.device);
    if (quota !== 0) {
      const { blockSize } = this.#state.metadata.superblock;
      if (io.holesIn(offset, length) > this.#quotaLeft(io, quota))
        throw new ThinError(
          'no-space',
          `device ${name} maps as much as its quota of ${quota} bytes (${Math.floor(quota / blockSize)} chunks) allows; remove files from it and trim it, or raise it with: thinfuse quota ${name} SIZE`,
          { details: { device: name, quota } },
        );
    }
    return this.#refusesAll ? this.#untilHostHasRoom(name) : undefined;
  }

  /**
   * Resolves when a chunk may be had. @throws ThinError no-space, at once or when the pool's timeout is over
   */
  async waitForSpace(device: string): Promise<void> {
    // Chunks that were freed in the open transaction are available after its commit, including those that
    // active devices have just discarded.
    if (this.#state.plane.returning > 0 || this.#state.pendingMappings > 0) {
      await this.#state.commit();
      await this.#state.plane.recycled();
      if (this.#state.plane.refill()) return;
    }
    const lacking = this.#state.plane.mayMap(1) ? 'data' : 'metadata';
    if ((await this.#state.extender.auto(this.#used(), lacking)) && this.#state.plane.refill()) return;
    this.#state.setMode('out_of_data_space', `no free chunk for device ${device}`);
    await this.#queue(() => this.#state.plane.refill());
    if (this.#state.plane.refill()) {
      this.noteRoom();
      return;
    }
    throw new ThinError(
      'no-space',
      `the pool is full; device ${device} cannot be written to until space is freed`,
    );
  }

  /** Resolves when one more block can be unmapped. @throws ThinError no-space */
  async waitForNodes(device: string): Promise<void> {
    this.#state.plane.drain();
    await this.#state.commit();
    if (this.#state.plane.mayUnmap || (await this.#state.extender.auto(this.#used(), 'metadata'))) return;
    throw new ThinError(
      'no-space',
      `the pool's metadata space is used up; remove devices, or extend it (thinfuse extend --metadata), before more of device ${device} is discarded`,
    );
  }

  /**
   * Writers would wait for room by the pool's options, and do not, because they have waited their time
   * (dm-thin.c, `do_no_space_timeout`).
   */
  get waitedEnough(): boolean {
    const { errorIfNoSpace } = this.#state.options;
    return !errorIfNoSpace && this.#fullSince !== undefined && !this.#mayWait(this.#fullSince);
  }

  /** Chunks have become free, or the space larger, which may be what a full pool lacked. */
  noteRoom(): void {
    if (this.#state.mode !== 'out_of_data_space' || this.#state.host.isShort || !this.#state.plane.refill())
      return;
    this.#fullSince = undefined;
    this.#state.setMode('rw', 'there is room again');
  }

  /** A commit is durable, or a moment has gone by. */
  check(): void {
    const used = this.#used();
    const { superblock } = this.#state.metadata;
    const { lowWater, metadataLowWater } = this.#state.options;
    const data = { used: used.data, total: superblock.chunks, blockSize: superblock.blockSize };
    const metadata = { used: used.metadata, total: superblock.nodes, blockSize: METADATA_BLOCK_SIZE };
    this.#watch.note('data', data, lowWater);
    this.#watch.note('metadata', metadata, metadataLowWater);
    if (this.#state.host.look()) this.#noteHost();
    if (this.#state.mode === 'out_of_data_space') this.noteRoom();
    this.noteUse();
    if (this.#state.extender.wants(used)) this.#extending = this.#state.extender.auto(used);
  }

  /** A commit found no room on the host's disk. */
  noteHostFull(): void {
    if (this.#state.host.noteFull()) this.#noteHost();
  }

  async settled(): Promise<void> {
    await this.#extending;
    await this.#state.host.settled();
  }

  /**
   * In a `leveldb` pool data itself goes to the host's disk with the next commit, so that overwriting takes
   * room, too.
   */
  get #refusesAll(): boolean {
    return this.#state.host.isShort && this.#state.metadata.superblock.kind === 'leveldb';
  }

  #noteHost(): void {
    if (this.#state.host.isShort)
      this.#state.setMode('out_of_data_space', "the disk of the pool's folder is nearly full");
    this.noteRoom();
    this.noteUse();
  }

  async #untilHostHasRoom(device: string): Promise<void> {
    await this.#queue(() => !this.#state.host.isShort);
    if (this.#state.host.isShort)
      throw new ThinError(
        'no-space',
        `the disk of the pool's folder is full; device ${device} cannot be written to until there is room on it`,
      );
  }

  /**
   * Polls until `there`, as long as the pool's options let writers wait: for one timeout from the first that
   * waits, and then for none until there is room (dm-thin.c, `do_no_space_timeout`).
   */
  async #queue(there: () => boolean): Promise<void> {
    const since = (this.#fullSince ??= performance.now());
    const isOver = (): boolean => !this.#mayWait(since) || this.#state.isClosing || there();
    await until(isOver, { limitMs: Infinity, pollMs: WAIT_STEP });
  }

  #mayWait(since: number): boolean {
    const { errorIfNoSpace, noSpaceTimeout } = this.#state.options;
    if (errorIfNoSpace) return false;
    return noSpaceTimeout === 0 || performance.now() < since + noSpaceTimeout * 1000;
  }

  #quotaLeft(io: DeviceIo, quota: number): number {
    return Math.floor(quota / this.#state.metadata.superblock.blockSize) - io.mappedChunks;
  }

  #used(): { data: number; metadata: number } {
    const { chunks, nodes } = this.#state.metadata;
    return { data: chunks.used - this.#state.plane.free.count, metadata: nodes.used };
  }
}

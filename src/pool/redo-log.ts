import { ThinError, toThinError } from '../errors/thin-error.js';
import { chunkId, deviceId, virtualBlock, type ChunkId } from '../format/ids.js';
import { LogKind, type LogRecord } from '../format/log-record.js';
import { DeviceIo } from '../io/device-io.js';
import { FileAccess } from '../store/file-access.js';
import type { KeyValue } from '../store/key-value.js';
import type { OpenPoolOptions } from './open-options.js';
import { openStored } from './open-stored.js';
import { PoolState } from './pool-state.js';
import { NODES_PER_STEP } from './reclaimer.js';
import { bringBytes, redoChange } from './replay.js';

export interface RedoOptions extends Pick<OpenPoolOptions, 'data' | 'limits' | 'chunkCache'> {
  /** `LogState.changed` of that commit: what it has of the records stands before. */
  readonly changed: number;
  /** Whether the device's record is among what was lost. */
  readonly isLost: (device: number) => boolean;
  /**
   * Chunks that the old store mapped and that the new pool does not have; undefined: it is not known which.
   */
  readonly lostChunks: ReadonlySet<number> | undefined;
}

export interface Redone {
  /** Records that were done again, or were in the store. */
  readonly records: number;
  readonly lost: readonly { readonly path: string; readonly problem: string }[];
}

/**
 * Does again, in a pool that only this process has open, what a log has beyond the commit that the pool is
 * made from: record after record, in the order in which things were done, so that it may reach over any
 * number of commits that were lost. A record that needs a lost part is left out and reported. The caller must
 * not interrupt it: the pool is right only after its last commit. Closes the data of a `direct` pool, and
 * leaves the store open.
 * @param records of the log behind that commit
 * @throws ThinError no-space, and what the store throws
 */
export async function redoLog(
  store: KeyValue,
  records: readonly LogRecord[],
  options: RedoOptions,
): Promise<Redone> {
  const stored = await openStored(store, options);
  const state = new PoolState(store, stored, { ...options, zeroedFrom: undefined });
  const redo = new Redo(state, options);
  try {
    for (const record of records) redo.compare(record);
    for (const record of records) await redo.next(record);
    return await redo.end();
  } finally {
    await state.committer.idle();
    await state.plane.recycled();
    // It reads the store, which its owner closes.
    await state.usage.stop();
    await state.plane.chunks.close();
  }
}

function isMapping(kind: LogKind): boolean {
  return (
    kind === LogKind.MAP ||
    kind === LogKind.MAP_PARTIAL ||
    kind === LogKind.PROVISION ||
    kind === LogKind.COPY ||
    kind === LogKind.UNMAP
  );
}

function blocksOf({ kind, run }: Pick<LogRecord, 'kind' | 'run'>): number {
  return kind === LogKind.MAP ? run : 1;
}

interface Mapped {
  readonly device: number;
  readonly block: number;
}

class Redo {
  readonly #state: PoolState;
  readonly #options: RedoOptions;
  /** By device and block: the position of the record whose mapping the commit had already. */
  readonly #ahead = new Map<string, number>();
  /** By device and block: why it reads as zeroes in spite of the log. */
  readonly #lostBlocks = new Map<string, Mapped & { readonly problem: string }>();
  readonly #lostDevices = new Map<number, { records: number; problem: string }>();
  /** Records of data for chunks that the new pool does not have. */
  #lostWrites = 0;
  #done = 0;

  constructor(state: PoolState, options: RedoOptions) {
    this.#state = state;
    this.#options = options;
  }

  /**
   * A commit takes in what comes while it collects, so that of each block it may be ahead. In that time no
   * chunk is used twice: the mapping that it has tells how far it is.
   */
  compare({ kind, position, device, block, chunk, run }: LogRecord): void {
    const { metadata } = this.#state;
    if (!isMapping(kind) || position >= this.#options.changed || !metadata.devices.has(deviceId(device)))
      return;
    for (let i = 0; i < blocksOf({ kind, run }); i++) {
      const stored = metadata.lookup(deviceId(device), virtualBlock(block + i));
      if (stored === (kind === LogKind.UNMAP ? undefined : chunk + i))
        this.#ahead.set(keyOf(device, block + i), position);
    }
  }

  async next(record: LogRecord): Promise<void> {
    switch (record.kind) {
      case LogKind.CREATE:
      case LogKind.CHANGE:
      case LogKind.REMOVE:
        await this.#change(record);
        return;
      case LogKind.MAP:
      case LogKind.MAP_PARTIAL:
      case LogKind.PROVISION:
      case LogKind.COPY:
      case LogKind.UNMAP:
        await this.#remap(record);
        return;
      case LogKind.DATA:
      case LogKind.PAGES:
      case LogKind.FETCHED:
        await this.#addTo(record);
        return;
      case LogKind.END:
      case LogKind.SKIP:
      case LogKind.SYNCED:
    }
  }

  async end(): Promise<Redone> {
    await this.#leaveAll();
    await this.#state.commit();
    const { devices } = this.#state.metadata;
    const lost = [...this.#lostDevices].map(([device, { records, problem }]) => ({
      path: `log, device ${device}`,
      problem: `${problem}: ${records} records are left out`,
    }));
    for (const { device, block, problem } of this.#lostBlocks.values())
      if (devices.has(deviceId(device)))
        lost.push({
          path: `log, device ${device} (${devices.get(deviceId(device)).name}), block ${block}`,
          problem,
        });
    if (this.#lostWrites > 0)
      lost.push({ path: 'log', problem: `${this.#lostWrites} writes to chunks that are lost are left out` });
    return { records: this.#done, lost };
  }

  /** The devices are as they were then. */
  async #change(record: LogRecord): Promise<void> {
    const { metadata } = this.#state;
    await this.#leaveAll();
    try {
      // Numbers are given out one after the other, and a superblock that was lost does not tell the last.
      if (record.kind === LogKind.CREATE && !metadata.devices.has(deviceId(record.device)))
        metadata.changeSuperblock({ lastDeviceId: deviceId(record.device - 1) });
      redoChange(metadata, record);
      this.#done++;
    } catch (error) {
      this.#leaveOut(record, lossOf(error).message);
      return;
    }
    if (record.kind === LogKind.CREATE) this.#inheritLosses(record.origin, record.device);
  }

  #inheritLosses(origin: number, device: number): void {
    for (const lost of [...this.#lostBlocks.values()])
      if (lost.device === origin) this.#lostBlocks.set(keyOf(device, lost.block), { ...lost, device });
  }

  #leaveOut({ device }: LogRecord, problem: string): void {
    const known = this.#lostDevices.get(device);
    if (known === undefined) this.#lostDevices.set(device, { records: 1, problem });
    else known.records++;
  }

  async #remap(record: LogRecord): Promise<void> {
    const { metadata } = this.#state;
    if (!metadata.devices.has(deviceId(record.device))) {
      // Otherwise it was removed since, by a commit that the store has.
      if (this.#lostDevices.has(record.device) || this.#options.isLost(record.device))
        this.#leaveOut(record, 'its record is lost');
      return;
    }
    const io = this.#open(record.device);
    for (let i = 0; i < blocksOf(record); i++) {
      const block = record.block + i;
      const at = keyOf(record.device, block);
      if (record.position < (this.#ahead.get(at) ?? 0)) continue;
      try {
        if (record.kind === LogKind.UNMAP) await io.restore(block, undefined);
        else await this.#map(io, block, chunkId(record.chunk + i), record);
        this.#lostBlocks.delete(at);
      } catch (error) {
        const { message } = lossOf(error);
        await io.restore(block, undefined);
        this.#lostBlocks.set(at, { device: record.device, block, problem: message });
      }
      this.#state.committer.apply(io);
    }
    this.#done++;
  }

  async #map(io: DeviceIo, block: number, chunk: ChunkId, record: LogRecord): Promise<void> {
    const { metadata, plane } = this.#state;
    const { access } = plane.chunks;
    const { kind, within, payload } = record;
    if (this.#ahead.get(keyOf(io.device, block)) === record.position) {
      // With some of what follows, perhaps: those bytes come again.
      if (kind === LogKind.MAP_PARTIAL && access instanceof FileAccess)
        access.restorePages(chunk, record.pages);
      if (kind === LogKind.PROVISION || kind === LogKind.COPY) await this.#overwrite(chunk, within, payload);
      return;
    }
    await this.#take(chunk);
    try {
      const origin = chunkId(record.origin);
      if ((kind === LogKind.MAP_PARTIAL || kind === LogKind.COPY) && metadata.chunks.count(origin) === 0)
        throw new ThinError('damaged', `it needs chunk ${origin}, which is lost`);
      if (kind === LogKind.MAP_PARTIAL && access instanceof FileAccess) {
        // Its origin may have got the last of its pages since the last commit: only a whole chunk is a
        // backing.
        plane.chunks.prepare();
        access.restorePart(chunk, origin, record.pages);
      }
      if (kind === LogKind.PROVISION)
        await bringBytes(plane, chunk, () =>
          access.provision(chunk, within, payload, 0, payload.length, false),
        );
      if (kind === LogKind.COPY)
        await bringBytes(plane, origin, () => access.copy(origin, chunk, within, payload, 0, payload.length));
    } catch (error) {
      plane.giveUp(chunk);
      throw error;
    }
    await io.restore(block, chunk);
  }

  /**
   * The chunk was free then, and is when what freed it is committed here. The removed devices may have freed
   * it: nothing else gives back here what they held.
   */
  async #take(chunk: ChunkId): Promise<void> {
    const { metadata } = this.#state;
    const { chunks } = metadata;
    if (chunks.takeExactly(chunk)) return;
    do {
      metadata.deleteStep(NODES_PER_STEP);
      await this.#state.commit();
    } while (metadata.owesSpace);
    await this.#state.plane.recycled();
    if (!chunks.takeExactly(chunk))
      throw new ThinError('damaged', `chunk ${chunk}, which the log gives to it, is not free`);
  }

  async #addTo({ kind, chunk: number, within, payload, pages }: LogRecord): Promise<void> {
    const { metadata, plane } = this.#state;
    const { access } = plane.chunks;
    const chunk = chunkId(number);
    if (metadata.chunks.count(chunk) === 0) {
      // Otherwise nothing maps it any more, in a commit that the store has.
      if (kind === LogKind.DATA && (this.#options.lostChunks?.has(number) ?? true)) this.#lostWrites++;
      return;
    }
    try {
      if (kind === LogKind.DATA) await this.#overwrite(chunk, within, payload);
      else if (access instanceof FileAccess) {
        if (kind === LogKind.PAGES) access.restorePages(chunk, pages);
        else if (access.isAway(chunk)) access.noteHere(chunk);
      }
      this.#done++;
    } catch (error) {
      lossOf(error);
      this.#lostWrites++;
    }
  }

  async #overwrite(chunk: ChunkId, within: number, bytes: Uint8Array): Promise<void> {
    const { plane } = this.#state;
    await bringBytes(plane, chunk, () =>
      plane.chunks.access.overwrite(chunk, within, bytes, 0, bytes.length),
    );
  }

  #open(device: number): DeviceIo {
    const { active, metadata, plane } = this.#state;
    const id = deviceId(device);
    const io = active.get(id) ?? new DeviceIo({ device: id, metadata, plane, gate: this.#state });
    active.set(id, io);
    return io;
  }

  async #leaveAll(): Promise<void> {
    const { active, committer } = this.#state;
    for (const [id, io] of [...active]) {
      await io.close();
      committer.apply(io);
      io.forgetMappings();
      active.delete(id);
    }
  }
}

function keyOf(device: number, block: number): string {
  return `${device}/${block}`;
}

/** Whether a lost part is the reason; every other error ends the work. */
function lossOf(error: unknown): ThinError {
  const known = toThinError(error);
  if (!['damaged', 'io', 'unsupported', 'not-found'].includes(known.code)) throw known;
  return known;
}

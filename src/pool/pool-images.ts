import { until } from '../async/until.js';
import { ThinError } from '../errors/thin-error.js';
import type { DeviceRecord } from '../format/device-record.js';
import { chunkId, virtualBlock, type ChunkId } from '../format/ids.js';
import { IMAGE_BLOCK, type RemoteImage } from '../format/remote-image.js';
import type { KnownImage } from '../metadata/remote-table.js';
import { attachRemote } from './attach-remote.js';
import type { PoolState } from './pool-state.js';
import type {
  FoundLayers,
  FoundRemote,
  LayersRequest,
  RemoteRequest,
  RemoteSource,
} from './remote-source.js';
import type { AttachOptions, NewRemoteImage, RemoteImageInfo } from './thin-pool.js';

/** Milliseconds between looks at images: which are not needed any more, and which have to be held. */
const INTERVAL = 5000;
/** Milliseconds after which a store is told again that an image is needed. */
const HOLD_AGAIN = 12 * 3_600_000;
/** Milliseconds after which an image that was found is forgotten, if no device was made of it. */
const FOUND_LIFE = 600_000;
/** Milliseconds before a fetch in the background that failed is begun again. */
const HYDRATE_AGAIN = 30_000;
/** Milliseconds for which a store that is away is asked for what an image consists of. */
const ATTACH_MS = 60_000;

/** The images in stores that a pool has its bytes of: attached, fetched in the background, and released. */
export class PoolImages {
  readonly #state: PoolState;
  readonly #source: RemoteSource | undefined;
  /** By number, with the moment of the last word to the store. */
  readonly #held = new Map<number, { readonly image: KnownImage; at: number }>();
  /** By the id of their note: those of which a device is about to be made. */
  readonly #found = new Map<string, { readonly image: NewRemoteImage; readonly at: number }>();
  /** Those that are fetched in the background. */
  readonly #goingOn = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(state: PoolState, source: RemoteSource | undefined) {
    this.#state = state;
    this.#source = source;
  }

  /** Goes on with what was fetched in the background before; waits for no store. */
  start(): void {
    for (const image of this.#images()) this.#held.set(image.id, { image, at: performance.now() });
    if (this.#held.size > 0) this.#watch();
    for (const image of this.#images()) if (image.isHydrating) void this.#goOn(image.id);
    this.#source?.settle(this.#images()).catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await this.#state.remote.close();
  }

  list(): readonly RemoteImageInfo[] {
    const { blockSize } = this.#state.metadata.superblock;
    return this.#images().map(({ url, digest, keyFile, settings, left, isHydrating }) => ({
      url,
      digest,
      keyFile,
      settings,
      remote: left * blockSize,
      isHydrating,
    }));
  }

  async find(request: RemoteRequest): Promise<FoundRemote> {
    this.#state.requireWritable();
    const found = await this.#fetching().find(request);
    const { note, keyFile, settings } = request;
    const image = { url: found.url, digest: found.digest, keyFile, note, settings };
    this.#found.set(note, { image, at: performance.now() });
    this.#watch();
    return found;
  }

  /** No device is made of what was found. */
  async forget(note: string): Promise<void> {
    const found = this.#found.get(note);
    this.#found.delete(note);
    if (found !== undefined) await this.#source?.release({ ...found.image, family: 0, isHydrating: false });
  }

  async findLayers(request: LayersRequest): Promise<FoundLayers | undefined> {
    this.#state.requireWritable();
    return this.#fetching().findLayers(request);
  }

  async attach(
    device: DeviceRecord,
    given: NewRemoteImage,
    { below, timeoutMs = ATTACH_MS }: AttachOptions = {},
  ): Promise<{ readonly chunks: number }> {
    const state = this.#state;
    state.requireWritable();
    const source = this.#fetching();
    if (state.active.has(device.id) || (below === undefined && device.mapped > 0))
      throw new ThinError('busy', `device ${device.name} is active or not empty`);
    state.space.requireFreeSpace();
    const whole = (image: NewRemoteImage): RemoteImage => ({
      ...image,
      family: device.family,
      isHydrating: false,
    });
    const pieces = source.changesOf(whole(given), {
      below: below && whole(below),
      blocksEach: state.metadata.superblock.blockSize / IMAGE_BLOCK,
      timeoutMs,
    });
    // The log does not have its mappings.
    state.deviceLog.skip();
    const { image, chunks } = await attachRemote(state, device.id, given, pieces);
    state.deviceLog.skip();
    await state.deviceLog.durable();
    state.usage.mark(device.id);
    const known = state.metadata.remote.image(image);
    if (known !== undefined) {
      this.#found.delete(given.note);
      this.#held.set(image, { image: known, at: performance.now() });
      this.#watch();
      void this.#prefetch(known, device).catch(() => undefined);
    }
    return { chunks };
  }

  async hydrate({ family }: DeviceRecord): Promise<void> {
    const { metadata } = this.#state;
    const images = this.#images().filter((image) => image.family === family);
    for (const { id } of images) metadata.remote.setHydrating(id, true);
    if (this.#state.mode !== 'ro') await this.#state.commit();
    for (const { id } of images) void this.#goOn(id);
    await Promise.all(images.map(({ id }) => this.#state.remote.hydrate(id)));
    if (this.#state.mode !== 'ro') await this.#state.commit();
  }

  /** Errors: unsupported. */
  #fetching(): RemoteSource {
    if (this.#source !== undefined) return this.#source;
    throw new ThinError(
      'unsupported',
      'only a daemon can fetch parts of a device when they are read; start it first',
    );
  }

  #images(): readonly KnownImage[] {
    return this.#state.metadata.remote.images();
  }

  /**
   * Fetches the blocks of a recorded start first, before a reader asks for them; also those that the device
   * has of other images, whose blocks came with it.
   */
  async #prefetch(image: KnownImage, { id }: DeviceRecord): Promise<void> {
    const blocks = await this.#source?.startOf(image);
    if (blocks === undefined || blocks.length === 0) return;
    const byImage = new Map<number, ChunkId[]>();
    for (const { chunk, of } of this.#chunksOf(id, blocks)) {
      const chunks = byImage.get(of) ?? [];
      byImage.set(of, chunks);
      chunks.push(chunk);
    }
    await Promise.all([...byImage].map(([of, chunks]) => this.#state.remote.ahead(chunks, of)));
  }

  *#chunksOf(
    device: DeviceRecord['id'],
    blocks: Uint32Array,
  ): Generator<{ readonly chunk: ChunkId; readonly of: number }> {
    const { metadata } = this.#state;
    const blocksEach = metadata.superblock.blockSize / IMAGE_BLOCK;
    for (const number of blocks) {
      if (!metadata.devices.has(device)) return;
      const mapped = metadata.lookup(device, virtualBlock(Math.floor(number / blocksEach)));
      const chunk = mapped === undefined ? undefined : chunkId(mapped);
      const entry = chunk === undefined ? undefined : metadata.remote.peek(chunk);
      if (chunk !== undefined && entry !== undefined) yield { chunk, of: entry.image };
    }
  }

  /** A store that is away does not end it. */
  async #goOn(image: number): Promise<void> {
    if (this.#goingOn.has(image)) return;
    this.#goingOn.add(image);
    const isOver = async (): Promise<boolean> => {
      if (this.#isStopped || this.#state.metadata.remote.image(image)?.isHydrating !== true) return true;
      return this.#state.remote.hydrate(image).then(
        () => true,
        () => false,
      );
    };
    await until(isOver, { limitMs: Infinity, pollMs: HYDRATE_AGAIN, keepsProcess: false });
    this.#goingOn.delete(image);
  }

  #watch(): void {
    this.#timer ??= setInterval(() => void this.#look(), INTERVAL).unref();
  }

  async #look(): Promise<void> {
    for (const [id, held] of [...this.#held]) {
      const isNeeded = this.#state.metadata.remote.image(id) !== undefined;
      if (isNeeded && performance.now() - held.at < HOLD_AGAIN) continue;
      held.at = performance.now();
      if (!isNeeded) this.#held.delete(id);
      // The note of one that was not taken away stays in the store, and keeps the image there.
      await (isNeeded ? this.#source?.hold(held.image) : this.#source?.release(held.image))?.catch(
        () => undefined,
      );
    }
    for (const [note, { at }] of [...this.#found])
      if (performance.now() - at > FOUND_LIFE) await this.forget(note).catch(() => undefined);
    if (this.#held.size + this.#found.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import { Pace } from '../async/pace.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { chunkId, type ChunkId } from '../format/ids.js';
import { IMAGE_BLOCK } from '../format/remote-image.js';
import type { RemoteEntry } from '../format/remote-sheet.js';
import type { KnownImage } from '../metadata/remote-table.js';
import { linesFor } from '../store/log-writer.js';
import { Litter } from '../threads/collect-garbage.js';
import type { PoolState } from './pool-state.js';
import type { FetchRequest, RemoteSource } from './remote-source.js';

/**
 * Bytes around a chunk with a waiting reader that come with it, if they are not here: one request of
 * 512 KiB takes hardly longer than one of 64 KiB (docs/remote.md).
 */
const WINDOW = 512 * 1024;
/** Bytes on their way: of one image, so that a slow one does not hold up the others, and of all. */
const MOST_OF_IMAGE = 16 * 2 ** 20;
const MOST = 48 * 2 ** 20;
/** Bytes of one request that fetches ahead, and how many such requests run at once. */
const AHEAD = 2 ** 20;
const AHEAD_AT_ONCE = 6;
/** Milliseconds beyond the time for which a store is asked again, for what is under way. */
const LAST_MS = 15_000;

interface Flight {
  readonly chunk: ChunkId;
  readonly entry: RemoteEntry;
  readonly isUrgent: boolean;
  readonly done: Promise<void>;
  readonly settle: (error?: ThinError) => void;
}

interface Waiting {
  readonly chunk: ChunkId;
  readonly since: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** How fetching goes, for the pool's operator. Bytes. */
export interface RemoteFigures {
  /** Of chunks whose bytes are not here. */
  readonly remote: number;
  readonly inFlight: number;
  /** Since the pool was opened. */
  readonly fetched: number;
  readonly failures: number;
  /** Milliseconds for which the oldest read waits for a store; 0: none does. */
  readonly waitedMs: number;
  /** Of the newest fetch, where it failed. */
  readonly problem: string | undefined;
}

/**
 * Brings the bytes of remote chunks where they belong. A chunk with a waiting reader goes before those that
 * are fetched ahead; each chunk is on its way once. Pool thread only; the work itself is the source's.
 */
export class RemoteFetcher {
  readonly #state: PoolState;
  readonly #source: RemoteSource | undefined;
  readonly #flights = new Map<ChunkId, Flight>();
  readonly #bytes = new Map<number, number>();
  /** When each read that waits for a store began, `performance.now()`, the oldest first. */
  readonly #reads = new Set<{ readonly since: number }>();
  /** For room, in the order in which they came. */
  #waiting: Waiting[] = [];
  /** For the end of any flight. */
  #endings: (() => void)[] = [];
  #inFlight = 0;
  #fetched = 0;
  #failures = 0;
  #problem: string | undefined;
  readonly #hydrating = new Map<number, Promise<void>>();
  readonly #litter = new Litter();

  constructor(state: PoolState, source: RemoteSource | undefined) {
    this.#state = state;
    this.#source = source;
  }

  get figures(): RemoteFigures {
    return {
      remote: this.#state.metadata.remote.count * this.#chunkSize,
      inFlight: this.#inFlight,
      fetched: this.#fetched,
      failures: this.#failures,
      waitedMs: this.#waitedMs,
      problem: this.#problem,
    };
  }

  /**
   * Resolves when the chunk's bytes are here. Errors: io, after the pool's `originTimeout`; damaged (where
   * they come from is not known).
   */
  async fetch(chunk: ChunkId): Promise<void> {
    const read = { since: performance.now() };
    this.#reads.add(read);
    try {
      await this.#bring(chunk, read.since);
    } finally {
      this.#reads.delete(read);
    }
  }

  /** One clock for all that it waits for: what others fetch, room, and its own request. */
  async #bring(chunk: ChunkId, since: number): Promise<void> {
    // What others fetch may fail before this one has waited long enough: then it asks by itself.
    await this.#flights.get(chunk)?.done.catch(() => undefined);
    if (!this.#state.plane.chunks.isAway(chunk)) return;
    const flight = this.#flights.get(chunk);
    if (flight !== undefined) return flight.done;
    const entry = this.#state.metadata.remote.get(chunk);
    if (entry === undefined) return;
    if (this.#hasRoom(entry.image, this.#chunkSize)) {
      const request = this.#start(this.#around(chunk, entry), entry.image, since);
      // A request that fails at once has ended its flights by now.
      return this.#flights.get(chunk)?.done ?? request;
    }
    await new Promise<void>((resolve, reject) => this.#waiting.push({ chunk, since, resolve, reject }));
  }

  /**
   * Fetches what is left of an image while others go first; one call at a time works on it. Errors: io,
   * closed.
   */
  hydrate(image: number): Promise<void> {
    let running = this.#hydrating.get(image);
    if (running === undefined) {
      running = this.#hydrate(image).finally(() => this.#hydrating.delete(image));
      this.#hydrating.set(image, running);
    }
    return running;
  }

  isHydrating(image: number): boolean {
    return this.#hydrating.has(image);
  }

  /** Fetches those of the image among these, some at a time, in their order. Errors: io, closed. */
  async ahead(chunks: Iterable<ChunkId>, image: number): Promise<void> {
    const each = Math.max(1, Math.floor(AHEAD / this.#chunkSize));
    const batches = batchesOf(chunks, each, (chunk) => this.#isWanted(chunk, image));
    const worker = async (): Promise<void> => {
      for await (const batch of batches) {
        this.#requireOpen();
        const wanted = batch.filter((chunk) => this.#isWanted(chunk, image));
        // Reads that wait go first.
        while (!this.#hasRoom(image, wanted.length * this.#chunkSize)) await this.#anEnd();
        if (wanted.length > 0) await this.#start(wanted, image, undefined);
        await nextTurn();
      }
    };
    await Promise.all(Array.from({ length: AHEAD_AT_ONCE }, worker));
  }

  /** Every reader that waits gets `closed`. */
  async close(): Promise<void> {
    const error = new ThinError('closed', 'the pool is being closed');
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    await this.#source?.close();
    for (const flight of [...this.#flights.values()]) this.#end(flight, error);
    await Promise.allSettled(this.#hydrating.values());
  }

  get #chunkSize(): number {
    return this.#state.plane.chunks.chunkSize;
  }

  async #hydrate(image: number): Promise<void> {
    const { remote } = this.#state.metadata;
    const chunks = function* (): Generator<ChunkId> {
      for (const { chunk } of remote.all()) yield chunk;
    };
    await this.ahead(chunks(), image);
    // Chunks that other callers fetch.
    while ([...this.#flights.values()].some(({ entry }) => entry.image === image)) await this.#anEnd();
  }

  /** Of whichever flight ends first: one of a store that is away ends late. */
  async #anEnd(): Promise<void> {
    await new Promise<void>((resolve) => this.#endings.push(resolve));
    await nextTurn();
  }

  get #waitedMs(): number {
    for (const { since } of this.#reads) return performance.now() - since;
    return 0;
  }

  #requireOpen(): void {
    if (this.#state.isClosing) throw new ThinError('closed', 'the pool is being closed');
  }

  #isWanted(chunk: ChunkId, image: number): boolean {
    const { metadata, plane } = this.#state;
    return (
      metadata.remote.peek(chunk)?.image === image && !this.#flights.has(chunk) && plane.chunks.isAway(chunk)
    );
  }

  #hasRoom(image: number, bytes: number): boolean {
    const own = this.#bytes.get(image) ?? 0;
    return own === 0 || (own + bytes <= MOST_OF_IMAGE && this.#inFlight + bytes <= MOST);
  }

  /**
   * The chunk, and its neighbours in the image that are away, too: chunks of an image lie as its blocks do.
   */
  #around(chunk: ChunkId, { image }: RemoteEntry): ChunkId[] {
    const each = Math.max(1, Math.floor(WINDOW / this.#chunkSize));
    const first = chunk - (chunk % each);
    if (!this.#hasRoom(image, each * this.#chunkSize)) return [chunk];
    return Array.from({ length: each }, (_, at) => chunkId(first + at)).filter(
      (near) => near === chunk || this.#isWanted(near, image),
    );
  }

  /**
   * @param since when the read began that waits for it; undefined: none does
   * @returns when all of it is here; rejects where some of it is not
   */
  #start(chunks: readonly ChunkId[], id: number, since: number | undefined): Promise<void> {
    const { remote } = this.#state.metadata;
    const image = remote.image(id);
    const flights = new Map<number, Flight>();
    for (const chunk of chunks) {
      const entry = remote.get(chunk)!;
      flights.set(entry.block, this.#add(chunk, entry, since !== undefined));
    }
    const done = this.#run(image, id, flights, since);
    done.catch(() => undefined);
    return done;
  }

  async #run(
    image: KnownImage | undefined,
    id: number,
    flights: ReadonlyMap<number, Flight>,
    since: number | undefined,
  ): Promise<void> {
    const landings: Promise<void>[] = [];
    const onBytes = (block: number, bytes: Uint8Array): void => {
      const flight = flights.get(block);
      if (flight === undefined) return;
      const landing = this.#land(flight, bytes);
      // The reader that waits gets the error. The request looks at it below.
      landing.catch(() => undefined);
      landings.push(landing);
    };
    try {
      if (image === undefined)
        throw new ThinError('damaged', `remote image ${id}: it is not known; see thinfuse check`);
      const timeoutMs = this.#timeLeft(since);
      const request = { image, blocks: [...flights.keys()], isUrgent: since !== undefined, timeoutMs };
      await this.#bounded(this.#ask(request, onBytes), request);
      await Promise.all(landings);
      this.#note(undefined);
    } catch (error) {
      const failure = toThinError(error);
      this.#note(failure.message);
      for (const flight of flights.values()) this.#end(flight, failure);
      throw failure;
    } finally {
      this.#retryWaiting();
    }
  }

  #ask(
    request: Omit<FetchRequest, 'blocksEach'>,
    onBytes: (block: number, bytes: Uint8Array) => void,
  ): Promise<void> {
    if (this.#source === undefined)
      throw new ThinError(
        'io',
        `its bytes are in ${request.image.url} and are fetched by the daemon; start it with thinfuse start`,
      );
    return this.#source.fetch({ ...request, blocksEach: this.#chunkSize / IMAGE_BLOCK }, onBytes);
  }

  /** Fails in time, whatever becomes of the request. */
  async #bounded(
    work: Promise<void>,
    { image, timeoutMs }: Pick<FetchRequest, 'image' | 'timeoutMs'>,
  ): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const told = new ThinError('io', `${image.url} does not answer`);
      timer = setTimeout(() => reject(told), timeoutMs + LAST_MS);
    });
    try {
      await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Milliseconds; with none left, a store is asked once. */
  #timeLeft(since = performance.now()): number {
    return Math.max(0, since + this.#state.options.originTimeout * 1000 - performance.now());
  }

  /** Of a flight that was given up its bytes may come late, when the chunk is another's. */
  #isUnderWay(flight: Flight): boolean {
    return this.#flights.get(flight.chunk) === flight;
  }

  async #land(flight: Flight, bytes: Uint8Array): Promise<void> {
    if (!this.#isUnderWay(flight)) return;
    try {
      await this.#put(flight.chunk, bytes, flight.entry);
      this.#fetched += bytes.length;
      // With them goes the copy that a commit made.
      this.#litter.leave(2 * bytes.length);
      this.#end(flight);
    } catch (error) {
      this.#end(flight, toThinError(error));
      throw error;
    }
  }

  async #put(chunk: ChunkId, bytes: Uint8Array, entry: RemoteEntry): Promise<void> {
    const { metadata, plane, mode } = this.#state;
    const writer = plane.log?.writer;
    const lines = linesFor(0, 1);
    while (writer?.reserve(lines) === false) await this.#state.commit();
    try {
      for (;;) {
        // It may have been freed meanwhile, and be another's.
        const now = metadata.remote.peek(chunk);
        if (now?.image !== entry.image || now.block !== entry.block) return;
        const room = plane.chunks.land(chunk, bytes, mode !== 'ro');
        if (room === undefined) break;
        await room;
      }
    } finally {
      writer?.release(lines);
    }
    this.#state.noteChange();
  }

  #add(chunk: ChunkId, entry: RemoteEntry, isUrgent: boolean): Flight {
    let settle: Flight['settle'] = () => undefined;
    const done = new Promise<void>((resolve, reject) => {
      settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    done.catch(() => undefined);
    const flight = { chunk, entry, isUrgent, done, settle };
    this.#flights.set(chunk, flight);
    this.#count(entry.image, this.#chunkSize);
    return flight;
  }

  #end(flight: Flight, error?: ThinError): void {
    if (!this.#isUnderWay(flight)) return;
    this.#flights.delete(flight.chunk);
    this.#count(flight.entry.image, -this.#chunkSize);
    flight.settle(error);
    for (const resolve of this.#endings.splice(0)) resolve();
  }

  #count(image: number, bytes: number): void {
    this.#inFlight += bytes;
    const own = (this.#bytes.get(image) ?? 0) + bytes;
    if (own === 0) this.#bytes.delete(image);
    else this.#bytes.set(image, own);
  }

  /** There is room for some of those who wait. */
  #retryWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { chunk, since, resolve, reject } of waiting) this.#bring(chunk, since).then(resolve, reject);
  }

  /** Told when it begins to fail, and when it works again. */
  #note(problem: string | undefined): void {
    if (problem !== undefined) this.#failures++;
    const isNews = (this.#problem === undefined) !== (problem === undefined);
    this.#problem = problem;
    if (isNews && !this.#state.isClosing) this.#state.tellRemote(problem);
  }
}

/** Shared by several readers: each batch is one's alone. In turns, where few of the items are wanted. */
async function* batchesOf<T>(
  items: Iterable<T>,
  most: number,
  isWanted: (item: T) => boolean,
): AsyncGenerator<T[]> {
  const pace = new Pace();
  let batch: T[] = [];
  for (const item of items) {
    const pause = pace.pause();
    if (pause !== undefined) await pause;
    if (isWanted(item)) batch.push(item);
    if (batch.length < most) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

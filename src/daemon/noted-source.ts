import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import type { RemoteImage } from '../format/remote-image.js';
import type {
  FetchRequest,
  FoundLayers,
  FoundRemote,
  ImagePieces,
  LayersRequest,
  RemoteRequest,
  RemoteSource,
} from '../pool/remote-source.js';
import { replaceFile } from '../store/replaced-file.js';
import { parseRemoteUrl } from '../remote/remote-url.js';

/** Milliseconds before a note that could not be taken away is tried again, at first and at most. */
const FIRST_PAUSE = 10_000;
const MOST_PAUSE = 3_600_000;

const told = z.object({
  note: z.string(),
  url: z.string(),
  digest: z.string(),
  keyFile: z.string(),
  settings: z.record(z.string(), z.string()),
});
/** What a store was told, or is about to be told, for this pool. */
type Told = z.infer<typeof told>;

/**
 * Remembers in a file which notes this pool has in stores, from before a note is written until it is gone. A
 * daemon that dies between the note and the device, or before it has taken the note of an unused image away,
 * leaves it to the next one: else the store would keep the image for ever.
 */
export class NotedSource implements RemoteSource {
  readonly #inner: RemoteSource;
  readonly #file: string;
  readonly #firstPause: number;
  #told: Map<string, Told> | undefined;
  #writing: Promise<void> = Promise.resolve();
  /** Notes that are being taken away. */
  readonly #leaving = new Map<string, Promise<void>>();
  /** Of notes that are about to be. */
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #isClosed = false;

  constructor(inner: RemoteSource, file: string, firstPause = FIRST_PAUSE) {
    this.#inner = inner;
    this.#file = file;
    this.#firstPause = firstPause;
  }

  async settle(images: readonly RemoteImage[]): Promise<void> {
    const needed = new Map(images.map((image) => [image.note, image]));
    const left = [...(await this.#all()).values()].filter(({ note }) => !needed.has(note));
    for (const entry of left) this.#leave(entry, this.#firstPause);
    for (const image of images) await this.#remember(image);
  }

  async find(request: RemoteRequest): Promise<FoundRemote> {
    const { note, keyFile, settings, reference } = request;
    const { url } = parseRemoteUrl(reference).place;
    const entry = { note, url, digest: '', keyFile, settings: { ...settings } };
    await this.#remember(entry);
    try {
      return await this.#inner.find(request);
    } catch (error) {
      this.#leave(entry, 0);
      throw error;
    }
  }

  async *changesOf(
    image: RemoteImage,
    how: Parameters<RemoteSource['changesOf']>[1],
  ): AsyncGenerator<ImagePieces> {
    // It is claimed once more, where it was let go of meanwhile.
    clearTimeout(this.#timers.get(image.note));
    await this.#leaving.get(image.note);
    await this.#remember(image);
    yield* this.#inner.changesOf(image, how);
  }

  async hold(image: RemoteImage): Promise<void> {
    await this.#inner.hold(image);
  }

  async release(image: RemoteImage): Promise<void> {
    try {
      await this.#inner.release(image);
    } catch (error) {
      this.#leave(image, this.#firstPause);
      throw error;
    }
    await this.#forget(image.note);
  }

  findLayers(request: LayersRequest): Promise<FoundLayers | undefined> {
    return this.#inner.findLayers(request);
  }

  fetch(request: FetchRequest, onBytes: (block: number, bytes: Uint8Array) => void): Promise<void> {
    return this.#inner.fetch(request, onBytes);
  }

  startOf(image: Parameters<RemoteSource['startOf']>[0]): Promise<Uint32Array> {
    return this.#inner.startOf(image);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await this.#inner.close();
    await this.#writing.catch(() => undefined);
  }

  /** Takes a note away, in the background, as often as it needs. */
  #leave(entry: Told, pause: number): void {
    if (entry.note === '' || this.#isClosed) return;
    const timer = setTimeout(() => {
      const leaving = this.#inner
        // The key may be gone, and nothing of the image is read.
        .release({ ...entry, keyFile: '', family: 0, isHydrating: false })
        .then(() => this.#forget(entry.note))
        .catch(() => {
          this.#leave(entry, Math.min(MOST_PAUSE, Math.max(this.#firstPause, 2 * pause)));
        })
        .finally(() => this.#leaving.delete(entry.note));
      this.#leaving.set(entry.note, leaving);
    }, pause).unref();
    this.#timers.set(entry.note, timer);
  }

  async #remember({ note, url, digest, keyFile, settings }: Told): Promise<void> {
    if (note === '') return;
    const all = await this.#all();
    if (all.has(note)) return;
    all.set(note, { note, url, digest, keyFile, settings: { ...settings } });
    await this.#write();
  }

  async #forget(note: string): Promise<void> {
    const all = await this.#all();
    if (all.delete(note)) await this.#write();
  }

  async #all(): Promise<Map<string, Told>> {
    if (this.#told !== undefined) return this.#told;
    const text = await readFile(this.#file, 'utf8').catch(() => '[]');
    const entries = parsed(text);
    this.#told ??= new Map(entries.map((entry) => [entry.note, entry]));
    return this.#told;
  }

  /** One at a time, each with all that is known by then. */
  #write(): Promise<void> {
    this.#writing = this.#writing
      .catch(() => undefined)
      .then(() =>
        replaceFile(this.#file, async (handle) => {
          await handle.writeFile(JSON.stringify([...(this.#told ?? new Map<string, Told>()).values()]));
        }),
      );
    return this.#writing;
  }
}

/** Of a file that cannot be read, nothing. */
function parsed(text: string): readonly Told[] {
  try {
    return z.array(told).parse(JSON.parse(text));
  } catch {
    return [];
  }
}

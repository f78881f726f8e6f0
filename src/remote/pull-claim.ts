import { ThinError } from '../errors/thin-error.js';
import { Claims } from './claims.js';
import { refsOf, type ImageReader } from './image-reader.js';
import type { StoredImage } from './manifest.js';
import { OPENING_LIFE, OPENING_PREFIX, packOpeningNote } from './push-note.js';
import { DEFAULT_TAG, describeName, type ImageName } from './remote-url.js';
import { Stopwatch } from './stopwatch.js';

/**
 * A pull's word to a store that is collected, in as few round trips as may be: a note that says only that it
 * opens, beside the question where the tag leads; then that question once more, beside the manifest; then
 * the note with all that the image needs, beside what is read of it. docs/remote-format.md has the argument.
 * A store that collects by itself is told nothing.
 */
export class PullClaim {
  readonly #reader: ImageReader;
  readonly #id: string;
  readonly #about: { readonly source: string; readonly maker: string };
  readonly #sinceOpened = new Stopwatch();
  readonly #kind: 'pull' | 'push';
  readonly #claims: Claims;
  /** Of the first note. */
  #writing: Promise<void> = Promise.resolve();
  /** `opening`: the first note may be there. `opened`: it is. `refused`: the store takes none. */
  #state: 'none' | 'opening' | 'opened' | 'refused' = 'none';

  /**
   * @param id of the note; `about` as of `Claims`
   * @param kind `push`: of a pull that fetches all before it ends, and that calls `take` alone. Its note is
   * not believed for ever, so that one that was killed keeps nothing
   */
  constructor(
    reader: ImageReader,
    id: string,
    about: { readonly source: string; readonly maker: string },
    kind: 'pull' | 'push' = 'pull',
  ) {
    this.#reader = reader;
    this.#id = id;
    this.#about = about;
    this.#kind = kind;
    this.#claims = new Claims(reader.store, kind, id, about);
  }

  /** Whether the store takes notes of this pull. */
  get isTaken(): boolean {
    return this.#state !== 'refused';
  }

  /** Errors: as `ImageReader.named`. */
  async find(name: ImageName = { kind: 'tag', tag: DEFAULT_TAG }): Promise<StoredImage> {
    const { store } = this.#reader;
    if (!store.isCollected || name.kind === 'digest') return this.#reader.named(name);
    // In order, where an earlier call has failed.
    this.#writing = this.#writing.catch(() => undefined).then(() => this.#open());
    const [found] = await Promise.all([store.tag(name.tag), this.#writing]);
    for (let last = found; last !== undefined;) {
      const digest = last.image;
      const [image, now] = await Promise.all([
        this.#reader.image(digest).catch((error: unknown) => error),
        store.tag(name.tag),
      ]);
      if (now?.image === digest) {
        if (image instanceof Error) throw image;
        return image as StoredImage;
      }
      last = now;
    }
    throw new ThinError(
      'not-found',
      `there is no image ${describeName(store, name)}; look at what is there with: thinfuse remote ls ${store.url}`,
    );
  }

  /**
   * The image that was found stays in the store from then on. Errors: not-found (it is being removed); as
   * those of the store.
   */
  async take(image: StoredImage): Promise<void> {
    const { store } = this.#reader;
    if (!store.isCollected || !this.isTaken) return;
    const refs = refsOf(image, image.manifest);
    if (this.#state === 'opened') {
      await this.#claims.keep(refs);
      void this.#close().catch(() => undefined);
      if (this.#sinceOpened.elapsed < OPENING_LIFE / 2) return;
    }
    try {
      if (await new Claims(store, this.#kind, this.#id, this.#about).claim(refs)) return;
    } catch (error) {
      if (!isPermission(error)) throw error;
      this.#state = 'refused';
      return;
    }
    throw new ThinError(
      'not-found',
      `${store.url}: the image is being removed, because no tag leads to it any more; pull another`,
    );
  }

  /** It is not needed any more. */
  async end(): Promise<void> {
    // Else it may come after it is taken away.
    await this.#writing.catch(() => undefined);
    if (!this.#reader.store.isCollected || !this.isTaken) return;
    await this.#claims.end();
    if (this.#state !== 'none') await this.#close();
  }

  async #open(): Promise<void> {
    this.#sinceOpened.restart();
    this.#state = 'opening';
    const { source, maker } = this.#about;
    try {
      await this.#reader.store.putNote('pull', this.#opening, packOpeningNote(source, maker), []);
      this.#state = 'opened';
    } catch (error) {
      if (!isPermission(error)) throw error;
      this.#state = 'refused';
    }
  }

  /** One that is left counts for as long as `OPENING_LIFE`. */
  #close(): Promise<void> {
    return this.#reader.store.removeNote('pull', this.#opening);
  }

  get #opening(): string {
    return OPENING_PREFIX + this.#id;
  }
}

function isPermission(error: unknown): boolean {
  return error instanceof ThinError && error.code === 'permission';
}

/** What `OpenImages` keeps open. */
interface Closable {
  close(): void;
}

interface Open<I> {
  readonly image: Promise<I>;
  users: number;
}

/**
 * Images by their key: each is opened once and serves all that ask for it. Those that were not used for long
 * are closed, so that at most `most` are open and unused.
 */
export class OpenImages<I extends Closable> {
  readonly #most: number;
  /** The one that was used last stands last. */
  readonly #open = new Map<string, Open<I>>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Opens the image if it is not open. It stays open until `work` has ended. Errors: those of both. */
  async use<T>(key: string, open: () => Promise<I>, work: (image: I) => Promise<T>): Promise<T> {
    const one = this.#open.get(key) ?? { image: open(), users: 0 };
    this.#open.delete(key);
    this.#open.set(key, one);
    one.users++;
    try {
      return await work(await one.image);
    } catch (error) {
      if (!(await isOpen(one)) && this.#open.get(key) === one) this.#open.delete(key);
      throw error;
    } finally {
      one.users--;
      this.#closeOldest();
    }
  }

  /** Also while it is in use, whose requests then fail. The next user opens the image again. */
  close(key: string): void {
    const one = this.#open.get(key);
    this.#open.delete(key);
    void one?.image.then(
      (image) => image.close(),
      () => undefined,
    );
  }

  #closeOldest(): void {
    for (const [key, { users }] of this.#open) {
      if (this.#open.size <= this.#most) return;
      if (users === 0) this.close(key);
    }
  }
}

function isOpen({ image }: Open<unknown>): Promise<boolean> {
  return image.then(
    () => true,
    () => false,
  );
}

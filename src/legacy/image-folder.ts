import type { ImageDirectory, ImageFile } from '../io/image-file.js';

/** What a transport serves of an old pool: image files that only read, for as long as one of them is open. */
export class ImageFolder implements ImageDirectory {
  readonly #images: ReadonlyMap<string, ImageFile>;
  #open = 0;
  #watching = false;
  #resolveIdle: () => void = () => undefined;
  readonly #idle = new Promise<void>((resolve) => {
    this.#resolveIdle = resolve;
  });

  constructor(images: ReadonlyMap<string, ImageFile>) {
    this.#images = images;
  }

  names(): readonly string[] {
    return [...this.#images.keys()];
  }

  lookup(name: string): ImageFile | undefined {
    return this.#images.get(name);
  }

  space(): { readonly total: number; readonly free: number } {
    return { total: [...this.#images.values()].reduce((sum, image) => sum + image.mappedBytes, 0), free: 0 };
  }

  opened(_name: string, delta: 1 | -1): void {
    this.#open += delta;
    this.#look();
  }

  /** Resolves when no process has an image open, from now on. */
  idle(): Promise<void> {
    this.#watching = true;
    this.#look();
    return this.#idle;
  }

  #look(): void {
    if (this.#watching && this.#open === 0) this.#resolveIdle();
  }
}

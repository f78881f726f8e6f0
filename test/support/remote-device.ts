import { IMAGE_BLOCK } from '../../src/format/remote-image.js';
import type { Digest } from '../../src/remote/digest.js';
import type { RemoteDevice } from '../../src/remote/manifest.js';
import type { PushSource } from '../../src/remote/push.js';
import type { Change } from '../../src/transfer/changes.js';

/**
 * A device in memory, for pushes: blocks of 64 KiB by their numbers, and what has changed since each image it
 * was pushed as.
 */
export class RemoteDeviceModel {
  readonly blocks = new Map<number, Uint8Array>();
  readonly #size: number;
  readonly #name: string;
  #pushed: { readonly image: Digest; readonly changed: Set<number> }[] = [];
  read = 0;
  /** Blocks that a start reads. */
  start: readonly number[] = [];

  /** @param size in blocks */
  constructor(name: string, size: number) {
    this.#name = name;
    this.#size = size;
  }

  write(block: number, bytes: Uint8Array | undefined): void {
    if (bytes === undefined) this.blocks.delete(block);
    else this.blocks.set(block, bytes);
    for (const { changed } of this.#pushed) changed.add(block);
  }

  notePushed(image: Digest): void {
    this.#pushed = [{ image, changed: new Set() }];
  }

  source(): PushSource {
    const { blocks } = this;
    const device: RemoteDevice = {
      name: this.#name,
      size: this.#size * IMAGE_BLOCK,
      kind: 'snapshot',
      filesystem: 'xfs',
      label: '',
      quota: 0,
      lineage: [],
    };
    return {
      device,
      id: `model/${this.#name}`,
      mapped: () => changesOf([...blocks.keys()], blocks),
      ancestors: this.#pushed.map(({ image, changed }) => ({
        image,
        changes: () => changesOf([...changed], blocks),
      })),
      start: () => Promise.resolve(this.start),
      read: (offset, into) => {
        this.read += into.length;
        for (let at = 0; at < into.length; at += IMAGE_BLOCK)
          into.set(blocks.get((offset + at) / IMAGE_BLOCK) ?? new Uint8Array(IMAGE_BLOCK), at);
        return Promise.resolve();
      },
    };
  }
}

async function* changesOf(
  numbers: readonly number[],
  blocks: ReadonlyMap<number, unknown>,
): AsyncGenerator<Change> {
  for (const block of [...numbers].sort((x, y) => x - y))
    yield {
      kind: blocks.has(block) ? 'data' : 'gone',
      begin: block * IMAGE_BLOCK,
      end: (block + 1) * IMAGE_BLOCK,
    };
}

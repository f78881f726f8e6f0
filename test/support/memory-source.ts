import { setTimeout as sleep } from 'node:timers/promises';
import { ThinError } from '../../src/errors/thin-error.js';
import type { RemoteImage } from '../../src/format/remote-image.js';
import type {
  FetchRequest,
  FoundLayers,
  FoundRemote,
  ImagePieces,
  RemoteRequest,
  RemoteSource,
} from '../../src/pool/remote-source.js';
import type { NewRemoteImage } from '../../src/pool/thin-pool.js';
import { BLOCK } from './small-pool.js';

export const IMAGE: NewRemoteImage = {
  url: 's3://bucket/place',
  digest: 'ab'.repeat(32),
  keyFile: '',
  note: 'note',
  settings: { AWS_REGION: 'here' },
};

/** What block `number` of the image holds; each sector differs from its neighbours. */
export function imageBlock(number: number): Buffer {
  const bytes = Buffer.alloc(BLOCK);
  for (let at = 0; at < BLOCK; at += 512) bytes.fill(1 + ((number * 31 + at / 512) % 250), at, at + 512);
  return bytes;
}

/** A store in memory with one image, which has the blocks that are told. */
export class MemorySource implements RemoteSource {
  readonly blocks: readonly number[];
  /** Blocks in the order in which they were asked for, one entry a request. */
  readonly asked: { readonly blocks: readonly number[]; readonly isUrgent: boolean }[] = [];
  /** Milliseconds that each request had. */
  readonly timeouts: number[] = [];
  /** Says what goes wrong with a request; undefined: nothing. */
  fault: (request: FetchRequest) => ThinError | undefined = () => undefined;
  /** Milliseconds before a piece comes. */
  delay: () => number = () => 0;
  start: readonly number[] = [];
  layers: FoundLayers | undefined;
  /** Of the image from the one below it. */
  changes: ImagePieces = { changed: new Uint32Array(0), gone: new Uint32Array(0) };
  readonly released: string[] = [];
  /** Requests of this image are held back until then. */
  gate: Promise<void> = Promise.resolve();
  /** Of any other image, as they come. */
  otherGate: Promise<void> = Promise.resolve();

  constructor(blocks: readonly number[]) {
    this.blocks = blocks;
  }

  settle(): Promise<void> {
    return Promise.resolve();
  }

  find({ reference }: RemoteRequest): Promise<FoundRemote> {
    const device = { name: 'there', size: 40 * BLOCK, kind: 'snapshot', filesystem: 'xfs' } as const;
    return Promise.resolve({
      url: reference,
      digest: IMAGE.digest,
      isHeld: true,
      device: { ...device, label: '', quota: 0 },
    });
  }

  findLayers(): Promise<FoundLayers | undefined> {
    return Promise.resolve(this.layers);
  }

  async *changesOf(
    _: RemoteImage,
    { below, blocksEach }: Parameters<RemoteSource['changesOf']>[1],
  ): AsyncGenerator<ImagePieces> {
    await Promise.resolve();
    if (below !== undefined) {
      yield this.changes;
      return;
    }
    const pieces = [...new Set(this.blocks.map((block) => Math.floor(block / blocksEach)))];
    const middle = pieces.length >> 1;
    const gone = new Uint32Array(0);
    yield { changed: Uint32Array.from(pieces.slice(0, middle)), gone };
    yield { changed: Uint32Array.from(pieces.slice(middle)), gone };
  }

  async fetch(request: FetchRequest, onBytes: (block: number, bytes: Uint8Array) => void): Promise<void> {
    this.asked.push({ blocks: request.blocks, isUrgent: request.isUrgent });
    this.timeouts.push(request.timeoutMs);
    await (request.image.digest === IMAGE.digest ? this.gate : this.otherGate);
    await Promise.all(
      request.blocks.map(async (first) => {
        await sleep(this.delay());
        const fault = this.fault(request);
        if (fault !== undefined) throw fault;
        const blocks = Array.from({ length: request.blocksEach }, (_, at) => first + at);
        const bytes = blocks.map((block) =>
          this.blocks.includes(block) ? imageBlock(block) : Buffer.alloc(BLOCK),
        );
        onBytes(first, new Uint8Array(Buffer.concat(bytes)));
      }),
    );
  }

  startOf(): Promise<Uint32Array> {
    return Promise.resolve(Uint32Array.from(this.start));
  }

  hold(): Promise<void> {
    return Promise.resolve();
  }

  release({ note }: { readonly note: string }): Promise<void> {
    this.released.push(note);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export const AWAY = new ThinError('io', 's3://bucket/place does not answer');

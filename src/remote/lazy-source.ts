import type { Worker } from 'node:worker_threads';
import { ThinError } from '../errors/thin-error.js';
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
import { startThread } from '../threads/start-thread.js';
import type { LazyReply, LazyTask } from './lazy-protocol.js';

interface Asked {
  readonly onReply: (reply: LazyReply) => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Fetches on a thread of its own: sockets, hashing, decompression. The thread is started with the first
 * request, and once more where it has failed.
 */
export class LazySource implements RemoteSource {
  readonly #asked = new Map<number, Asked>();
  #worker: Worker | undefined;
  #lastId = 0;
  #isClosed = false;

  /** It remembers nothing of an earlier process. */
  settle(): Promise<void> {
    return Promise.resolve();
  }

  async find(request: RemoteRequest): Promise<FoundRemote> {
    let found: FoundRemote | undefined;
    await this.#ask({ kind: 'find', request }, (reply) => {
      if (reply.kind === 'found') ({ found } = reply);
    });
    if (found === undefined) throw new ThinError('internal', 'the thread that fetches has found nothing');
    return found;
  }

  async findLayers(request: LayersRequest): Promise<FoundLayers | undefined> {
    let found: FoundLayers | undefined;
    await this.#ask({ kind: 'layers', request }, (reply) => {
      if (reply.kind === 'layers') ({ found } = reply);
    });
    return found;
  }

  async *changesOf(
    image: RemoteImage,
    { below, ...how }: Parameters<RemoteSource['changesOf']>[1],
  ): AsyncGenerator<ImagePieces> {
    const got: ImagePieces[] = [];
    const task = { kind: 'changes', image: plain(image), below: below && plain(below), ...how } as const;
    await this.#ask(task, (reply) => {
      if (reply.kind === 'pieces') got.push(reply.pieces);
    });
    yield* got;
  }

  async fetch(
    { image, blocks, blocksEach, isUrgent, timeoutMs }: FetchRequest,
    onBytes: (block: number, bytes: Uint8Array) => void,
  ): Promise<void> {
    const task = { kind: 'fetch', image: plain(image), blocks, blocksEach, isUrgent, timeoutMs } as const;
    await this.#ask(task, (reply) => {
      if (reply.kind === 'bytes') onBytes(reply.block, reply.bytes);
    });
  }

  async startOf(image: RemoteImage): Promise<Uint32Array> {
    let found = new Uint32Array(0);
    await this.#ask({ kind: 'start', image: plain(image) }, (reply) => {
      if (reply.kind === 'some') found = new Uint32Array(reply.blocks);
    });
    return found;
  }

  hold(image: RemoteImage): Promise<void> {
    return this.#ask({ kind: 'hold', image: plain(image) });
  }

  release(image: RemoteImage): Promise<void> {
    return this.#ask({ kind: 'release', image: plain(image) });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#end(new ThinError('closed', 'the pool is being closed'));
    await this.#worker?.terminate();
  }

  #ask(task: LazyTask, onReply: Asked['onReply'] = () => undefined): Promise<void> {
    if (this.#isClosed) return Promise.reject(new ThinError('closed', 'the pool is being closed'));
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { onReply, resolve, reject });
      const thread = this.#thread();
      // A process does not end before what it waits for.
      thread.ref();
      thread.postMessage({ id, task });
    });
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = startThread(import.meta.url, 'lazy-thread', {});
    this.#worker = worker;
    worker.on('message', (reply: LazyReply) => {
      const asked = this.#asked.get(reply.id);
      if (asked === undefined) return;
      asked.onReply(reply);
      if (reply.kind !== 'done' && reply.kind !== 'failed') return;
      this.#asked.delete(reply.id);
      if (reply.kind === 'done') asked.resolve();
      else asked.reject(new ThinError(reply.code, reply.message));
      if (this.#asked.size === 0) worker.unref();
    });
    worker.on('error', (cause) => this.#lost(worker, cause));
    worker.on('exit', () => this.#lost(worker, undefined));
    return worker;
  }

  /** The next request starts another one. */
  #lost(worker: Worker, cause: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#end(new ThinError('io', 'the thread that fetches has failed; read once more', { cause }));
  }

  #end(error: ThinError): void {
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const { reject } of asked) reject(error);
  }
}

/** What can be sent to a thread. */
function plain({ url, digest, keyFile, note, family, isHydrating, settings }: RemoteImage): RemoteImage {
  return { url, digest, keyFile, note, family, isHydrating, settings };
}

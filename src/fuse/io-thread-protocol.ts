import type { ImageMemory } from '../io/thread-image.js';

/** What a thread is started with. */
export interface IoThreadData {
  /** An open /dev/fuse; descriptors belong to the process. */
  readonly fd: number;
  /** Its number, from 0. */
  readonly thread: number;
  /** Bytes of the largest request, its headers included. */
  readonly requestSize: number;
  /** One word; not zero: the thread ends after its next request. */
  readonly stopping: Int32Array;
  /** One word; not zero: nothing is answered any more. */
  readonly muted: Int32Array;
  /** One word: threads that wait for the disk to sync. */
  readonly flushing: Int32Array;
  /** Of them at most so many at once; the others answer reads and writes. */
  readonly mostFlushing: number;
  /** `FlushRhythm`. */
  readonly rhythm: Int32Array;
}

/** To a thread: from now on it may serve this node, or (undefined) no more. */
export interface NodeNews {
  readonly nodeId: number;
  readonly image: ImageMemory | undefined;
}

/** From a thread. */
export type IoThreadMessage =
  /** A whole request that is the pool thread's to answer. */
  | { readonly kind: 'request'; readonly request: Uint8Array<ArrayBuffer> }
  /** A WRITE, up to its data, that is carried out; the pool thread makes it durable and answers it. */
  | { readonly kind: 'written'; readonly request: Uint8Array<ArrayBuffer> }
  /** Stocks of the pool behind this node run low. */
  | { readonly kind: 'ask'; readonly nodeId: number }
  /** The connection has ended. */
  | { readonly kind: 'disconnected' }
  /** An error of the descriptor that should not happen; the thread goes on. */
  | { readonly kind: 'fault'; readonly message: string };

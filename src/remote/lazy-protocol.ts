import type { ThinErrorCode } from '../errors/thin-error.js';
import type { RemoteImage } from '../format/remote-image.js';
import type { FoundRemote, RemoteRequest } from '../pool/remote-source.js';

/** What the thread that fetches is asked. */
export type LazyTask =
  | { readonly kind: 'find'; readonly request: RemoteRequest }
  | { readonly kind: 'blocks'; readonly image: RemoteImage }
  | {
      readonly kind: 'fetch';
      readonly image: RemoteImage;
      readonly blocks: readonly number[];
      readonly blocksEach: number;
      readonly isUrgent: boolean;
      readonly timeoutMs: number;
    }
  | { readonly kind: 'start'; readonly image: RemoteImage }
  | { readonly kind: 'hold' | 'release'; readonly image: RemoteImage };

export interface LazyRequest {
  readonly id: number;
  readonly task: LazyTask;
}

/** Any number of `some`, `found` or `bytes`, then one of the others. */
export type LazyReply = { readonly id: number } & (
  | { readonly kind: 'found'; readonly found: FoundRemote }
  | { readonly kind: 'some'; readonly blocks: Uint32Array }
  | { readonly kind: 'bytes'; readonly block: number; readonly bytes: Uint8Array }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: ThinErrorCode; readonly message: string }
);

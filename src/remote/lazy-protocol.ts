import type { ThinErrorCode } from '../errors/thin-error.js';
import type { RemoteImage } from '../format/remote-image.js';
import type {
  FoundLayers,
  FoundRemote,
  ImagePieces,
  LayersRequest,
  RemoteRequest,
} from '../pool/remote-source.js';

/** What the thread that fetches is asked. */
export type LazyTask =
  | { readonly kind: 'find'; readonly request: RemoteRequest }
  | { readonly kind: 'layers'; readonly request: LayersRequest }
  | {
      readonly kind: 'changes';
      readonly image: RemoteImage;
      readonly below: RemoteImage | undefined;
      readonly blocksEach: number;
      readonly timeoutMs: number;
    }
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

/** Any number of the others, then `done` or `failed`. */
export type LazyReply = { readonly id: number } & (
  | { readonly kind: 'found'; readonly found: FoundRemote }
  | { readonly kind: 'layers'; readonly found: FoundLayers | undefined }
  | { readonly kind: 'some'; readonly blocks: Uint32Array }
  | { readonly kind: 'pieces'; readonly pieces: ImagePieces }
  | { readonly kind: 'bytes'; readonly block: number; readonly bytes: Uint8Array }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: ThinErrorCode; readonly message: string }
);

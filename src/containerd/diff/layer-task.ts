import type { ThinError, ThinErrorCode } from '../../errors/thin-error.js';
import type { ByteRange } from '../../pool/changed-ranges.js';
import type { CallScope } from './content-store.js';

/** A mounted filesystem, and the file of its device. */
export interface LayerSide {
  readonly root: string;
  readonly image: string;
}

/** What the process that makes layers is told. */
export interface LayerTask {
  /** Undefined: nothing was there. */
  readonly before: LayerSide | undefined;
  readonly after: LayerSide;
  /** Where the devices may have different bytes; undefined: anywhere. */
  readonly changed: readonly ByteRange[] | undefined;
  readonly mediaType: string;
  /** Under which containerd knows the blob until it is whole; empty: none is asked for. */
  readonly ref: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Unix time in seconds that no time in the layer is behind. */
  readonly epoch: number | undefined;
  /** containerd's socket. */
  readonly containerd: string;
  readonly scope: CallScope;
}

/** A blob in a content store (OCI image-spec, descriptor.md). */
export interface LayerBlob {
  readonly mediaType: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

export type LayerReply =
  | { readonly blob: LayerBlob }
  | {
      readonly failure: {
        readonly code: ThinErrorCode;
        readonly message: string;
        readonly details: ThinError['details'];
      };
    };

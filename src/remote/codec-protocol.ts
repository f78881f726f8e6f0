import type { ThinErrorCode } from '../errors/thin-error.js';
import type { Digest } from './digest.js';

export interface CodecThreadData {
  /** Of the user's; undefined: nothing is encrypted. */
  readonly key: Uint8Array | undefined;
}

/** What a thread does with blocks; `bytes` have a buffer of their own, which moves to the thread and back. */
export type CodecTask =
  | { readonly kind: 'name'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'encode';
      readonly bytes: Uint8Array;
      readonly blocks: readonly { readonly at: number; readonly name: Digest }[];
    }
  | {
      readonly kind: 'decode';
      /** `path`: what messages call it. */
      readonly blocks: readonly {
        readonly stored: Uint8Array;
        readonly name: Digest;
        readonly path: string;
      }[];
    }
  | { readonly kind: 'digest'; readonly bytes: Uint8Array };

export interface CodecAnswer {
  /** `name`: undefined for a block of zeroes. */
  readonly names?: readonly (Digest | undefined)[];
  readonly stored?: readonly Uint8Array[];
  readonly digest?: Digest;
  readonly bytes?: Uint8Array;
}

export type CodecReply =
  | { readonly answer: CodecAnswer }
  | { readonly failure: { readonly code: ThinErrorCode; readonly message: string } };

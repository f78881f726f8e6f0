import { ThinError } from '../errors/thin-error.js';
import { digestOf, type Digest } from './digest.js';
import type { BlobKind, RangeRequest } from './remote-store.js';

/** The header that asks for a range; none for the whole. */
export function rangeHeaders(range: RangeRequest | undefined): {
  readonly headers?: Readonly<Record<string, string>>;
} {
  if (range === undefined) return {};
  return { headers: { range: `bytes=${range.offset}-${range.offset + range.length - 1}` } };
}

/** @throws ThinError damaged: what a store sent whole does not have its digest */
export function requireDigest(body: Uint8Array, url: string, kind: BlobKind, digest: Digest): void {
  if (digestOf(body) !== digest)
    throw new ThinError('damaged', `${url}: the ${kind} ${digest} was changed: its digest is another one`);
}

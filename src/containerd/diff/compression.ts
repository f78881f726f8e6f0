import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { Encoder } from '@toondepauw/node-zstd';
import { ThinError } from '../../errors/thin-error.js';

const LAYER = 'application/vnd.oci.image.layer.v1.tar';
const FRAME = 4 * 2 ** 20;
/** The default of zstd(1). */
const ZSTD_LEVEL = 3;

type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
export type Compression = 'none' | 'gzip' | 'zstd';

/** Of what containerd's walking differ makes where it is not told. */
export const USUAL_LAYER = `${LAYER}+gzip`;

/** @throws ThinError unsupported: those of Docker's and of encrypted layers among others */
export function compressionOf(mediaType: string): Compression {
  switch (mediaType) {
    case LAYER:
      return 'none';
    case USUAL_LAYER:
      return 'gzip';
    case `${LAYER}+zstd`:
      return 'zstd';
  }
  throw new ThinError('unsupported', `thinfuse writes no layers of the media type ${mediaType}`);
}

export function compressed(pieces: Pieces, how: Compression): Pieces {
  if (how === 'gzip') return gzipped(pieces);
  return how === 'zstd' ? zstdFrames(pieces) : pieces;
}

async function* gzipped(pieces: Pieces): AsyncGenerator<Uint8Array> {
  const gzip = createGzip();
  // What fails in it fails in what is read from it.
  pipeline(Readable.from(pieces), gzip).catch(() => undefined);
  for await (const piece of gzip) yield piece as Buffer;
}

/** A frame each few MiB, which RFC 8878 reads as one stream. */
async function* zstdFrames(pieces: Pieces): AsyncGenerator<Uint8Array> {
  const encoder = new Encoder(ZSTD_LEVEL);
  for await (const piece of gathered(pieces, FRAME)) yield await encoder.encode(piece);
}

/** The same bytes in pieces of at least `size`, but for the last. */
export async function* gathered(pieces: Pieces, size: number): AsyncGenerator<Buffer> {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    waiting.push(piece);
    bytes += piece.length;
    if (bytes < size) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}

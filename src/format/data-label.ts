import { ByteReader, ByteWriter } from './byte-cursor.js';
import { seal, SEAL_BYTES, unseal } from './seal.js';

/** Bytes, at the end of the data. */
export const LABEL_BYTES = 4096;

const PREALLOCATED = 1;

/**
 * label := sealed( uuid:text block-size:u32 chunks:u32 flags:u32 zeroes )      4096 bytes with its seal
 *
 * Stands in the last whole 4096 bytes of a `direct` pool's data, so that the pool knows its data again and refuses any other.
 */
export interface DataLabel {
  /** The pool's. */
  readonly uuid: string;
  /** Bytes of a chunk. */
  readonly blockSize: number;
  readonly chunks: number;
  /** The file had all its space when the pool was made: it keeps it. */
  readonly preallocated: boolean;
}

/** Where the label stands in data of `size` bytes. */
export function labelOffset(size: number): number {
  return (Math.floor(size / LABEL_BYTES) - 1) * LABEL_BYTES;
}

export function packDataLabel(label: DataLabel): Uint8Array {
  const fields = new ByteWriter()
    .text(label.uuid)
    .u32(label.blockSize)
    .u32(label.chunks)
    .u32(label.preallocated ? PREALLOCATED : 0)
    .finish();
  const body = new Uint8Array(LABEL_BYTES - SEAL_BYTES);
  body.set(fields);
  return seal('data-label', 0, body);
}

/** @throws ThinError damaged, wrong-version, naming `path` */
export function unpackDataLabel(bytes: Uint8Array, path: string): DataLabel {
  const from = new ByteReader(unseal('data-label', 0, bytes, path), path);
  const uuid = from.text();
  const blockSize = from.u32();
  const chunks = from.u32();
  return { uuid, blockSize, chunks, preallocated: (from.u32() & PREALLOCATED) !== 0 };
}

import { ByteReader, ByteWriter } from './byte-cursor.js';
import { FORMAT_VERSION, seal, SEAL_BYTES, unseal } from './seal.js';

/** Bytes of a label. */
export const LABEL_BYTES = 4096;
/**
 * Bytes at either end of the data that hold no chunk. What tells a filesystem, an array or a partition table
 * by its magic number (libblkid, `superblocks/`) looks at the ends of a disk, and finds there nothing of a
 * device's content.
 */
export const MARGIN = 2 ** 20;
/**
 * Where the first label stands: behind `FIRST_WORDS`, so that no checksum looks like the magic number of
 * another format.
 */
export const FIRST_LABEL_AT = 4096;
const FIRST_WORDS = 'thinfuse pool data\n';

const PREALLOCATED = 1;
/** That of labels with margins, which a thinfuse that knows of none must not open. */
const MARGIN_VERSION = 2;

/**
 * label := sealed( uuid:text block-size:u32 chunks:u32 flags:u32 start:u32 last:u64 maker:text zeroes )      4096 bytes with its seal
 *
 * Stands in the last whole 4096 bytes of a `direct` pool's data, so that the pool knows its data again and
 * refuses any other, and once more at its start. Either one is enough. Pools of before have the one at the
 * end (format 1, without `start` and what follows).
 */
export interface DataLabel {
  /** The pool's. */
  readonly uuid: string;
  /** Bytes of a chunk. */
  readonly blockSize: number;
  readonly chunks: number;
  /** The file had all its space when the pool was made: it keeps it. */
  readonly preallocated: boolean;
  /** Where chunk 0 begins, in bytes; 0 in pools of before, whose data has no margins. */
  readonly start: number;
  /** Where the label at the end stands, in bytes; 0 in pools of before. */
  readonly last: number;
  /** The process that makes the pool (`format/maker.ts`); empty in a complete pool. */
  readonly maker: string;
}

/** Where the label at the end stands in data of `size` bytes. */
export function labelOffset(size: number): number {
  return (Math.floor(size / LABEL_BYTES) - 1) * LABEL_BYTES;
}

/** Bytes behind the chunks that data has at least. */
export function tailBytes({ start }: Pick<DataLabel, 'start'>): number {
  return start === 0 ? LABEL_BYTES : MARGIN;
}

/** Where the chunks end, in bytes. */
export function endOfChunks({ start, blockSize, chunks }: Omit<DataLabel, 'uuid'>): number {
  return start + chunks * blockSize;
}

export function packDataLabel(label: DataLabel): Uint8Array {
  const fields = new ByteWriter()
    .text(label.uuid)
    .u32(label.blockSize)
    .u32(label.chunks)
    .u32(label.preallocated ? PREALLOCATED : 0)
    .u32(label.start)
    .u64(label.last)
    .text(label.maker)
    .finish();
  const body = new Uint8Array(LABEL_BYTES - SEAL_BYTES);
  body.set(fields);
  return seal('data-label', 0, body, label.start === 0 ? FORMAT_VERSION : MARGIN_VERSION);
}

/** The first blocks of the data: words for human readers, then the label. */
export function packFirstBlocks(label: DataLabel): Uint8Array {
  const bytes = new Uint8Array(FIRST_LABEL_AT + LABEL_BYTES);
  bytes.set(Buffer.from(`${FIRST_WORDS}${label.uuid}\n`));
  bytes.set(packDataLabel(label), FIRST_LABEL_AT);
  return bytes;
}

/** @throws ThinError damaged, wrong-version, naming `path` */
export function unpackDataLabel(bytes: Uint8Array, path: string): DataLabel {
  const from = new ByteReader(unseal('data-label', 0, bytes, path), path);
  return {
    uuid: from.text(),
    blockSize: from.u32(),
    chunks: from.u32(),
    preallocated: (from.u32() & PREALLOCATED) !== 0,
    // Zeroes in format 1.
    start: from.u32(),
    last: from.u64(),
    maker: from.text(),
  };
}

import type { FileHandle } from 'node:fs/promises';
import { maskedCrc, unpackInternalKey, VarintReader, type InternalKey } from './level-bytes.js';

/**
 * LevelDB's table format (doc/table_format.md):
 *
 * table   := block* filter? metaindex index footer
 * block   := contents type:u8 checksum:u32              masked CRC-32C of contents and type; type 0: as it is
 * contents := entry* restart:u32 × n n:u32              but the filter's
 * entry   := common:varint rest:varint length:varint key:byte×rest value:byte×length
 * footer  := metaindex:handle index:handle padding magic:u64             48 bytes
 * handle  := offset:varint size:varint                  size without type and checksum
 */
export const FOOTER = 48;
/** Bytes behind a block's contents. */
export const TRAILER = 5;
const MAGIC = Buffer.from([0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb]);
const UNCOMPRESSED = 0;

/** Where a block's contents lie, in bytes. */
export interface BlockHandle {
  readonly offset: number;
  readonly size: number;
}

/** A block of data: its keys are above those of the block before it, up to `last`. */
export interface DataBlock extends BlockHandle {
  /** Empty: from the first key on. */
  readonly above: Uint8Array;
  readonly last: Uint8Array;
}

/** The parts of a table that lead to the others. */
export interface TableOutline {
  readonly blocks: readonly DataBlock[];
}

/** A part that is not as it was written. */
export class BlockError extends Error {}

/**
 * Reads and verifies everything in a table but its data.
 * @throws BlockError; the file system's error
 */
export async function readOutline(file: FileHandle, size: number): Promise<TableOutline> {
  if (size < FOOTER) throw new BlockError('it is too short for its footer');
  const { metaindex, index } = footerOf(await readAt(file, size - FOOTER, FOOTER));
  // One behind the other, so that nothing in the file belongs to none.
  if (
    index.offset + index.size + TRAILER !== size - FOOTER ||
    metaindex.offset + metaindex.size + TRAILER !== index.offset
  )
    throw new BlockError('its footer is damaged');
  const meta = entriesOf(await readBlock(file, metaindex, 'its metaindex'), 'its metaindex');
  let end = metaindex.offset;
  for (const { value } of [...meta].reverse()) {
    const filter = handleOf(new VarintReader(value));
    if (filter.offset + filter.size + TRAILER !== end) throw new BlockError('its metaindex is damaged');
    await readBlock(file, filter, 'its filter');
    end = filter.offset;
  }
  return { blocks: blocksOf(await readBlock(file, index, 'its index'), end) };
}

/** @throws BlockError */
function footerOf(footer: Buffer): { readonly metaindex: BlockHandle; readonly index: BlockHandle } {
  const reader = new VarintReader(footer);
  const [metaindex, index] = [handleOf(reader), handleOf(reader)];
  if (reader.overrun || reader.at > FOOTER - MAGIC.length || !footer.subarray(-MAGIC.length).equals(MAGIC))
    throw new BlockError('its footer is damaged');
  if (!isZero(footer.subarray(reader.at, -MAGIC.length))) throw new BlockError('its footer is damaged');
  return { metaindex, index };
}

/** Where a footer says the index is. @throws BlockError */
export function indexHandle(footer: Buffer): BlockHandle {
  return footerOf(footer).index;
}

function blocksOf(index: Buffer, end: number): readonly DataBlock[] {
  const blocks: DataBlock[] = [];
  let at = 0;
  let above: Uint8Array = new Uint8Array(0);
  for (const { key, value } of entriesOf(index, 'its index')) {
    const handle = handleOf(new VarintReader(value));
    const last = unpackInternalKey(key)?.key;
    if (last === undefined || handle.offset !== at) throw new BlockError('its index is damaged');
    blocks.push({ ...handle, above, last });
    above = last;
    at = handle.offset + handle.size + TRAILER;
  }
  if (at !== end) throw new BlockError('its index is damaged');
  return blocks;
}

export interface TableEntryOf {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** @throws BlockError, naming the block as `what` */
async function readBlock(file: FileHandle, handle: BlockHandle, what: string): Promise<Buffer> {
  const bytes = await readAt(file, handle.offset, handle.size + TRAILER);
  const problem = blockProblem(bytes);
  if (problem !== undefined) throw new BlockError(`${what} is damaged (${problem})`);
  return bytes.subarray(0, -TRAILER);
}

/** The fault of a block and its trailer. */
export function blockProblem(bytes: Buffer): string | undefined {
  if (bytes.length < TRAILER) return 'it ends too early';
  const type = bytes[bytes.length - TRAILER]!;
  if (bytes.readUInt32LE(bytes.length - 4) !== maskedCrc(bytes.subarray(0, -4)))
    return 'its checksum is wrong';
  return type === UNCOMPRESSED ? undefined : `it is compressed (type ${type})`;
}

/** Bytes of a block in the file. */
export function blockBytes(handle: BlockHandle): number {
  return handle.size + TRAILER;
}

/** Of a block that is well. Keys are their own, values views. @throws BlockError */
function* entriesOf(contents: Buffer, what: string): Generator<TableEntryOf> {
  const broken = (): BlockError => new BlockError(`${what} is damaged (an entry ends too early)`);
  if (contents.length < 4) throw broken();
  const restarts = contents.readUInt32LE(contents.length - 4);
  const end = contents.length - 4 * (restarts + 1);
  if (end < 0) throw broken();
  const reader = new VarintReader(contents.subarray(0, end));
  let key = Buffer.alloc(0);
  while (!reader.ended) {
    const common = reader.number();
    const rest = reader.number();
    const length = reader.number();
    if (common > key.length) throw broken();
    key = Buffer.concat([key.subarray(0, common), reader.take(rest)]);
    const value = reader.take(length);
    if (reader.overrun) throw broken();
    yield { key, value };
  }
}

/** The entries of a block of data that is well. @throws BlockError */
export function* dataEntries(contents: Buffer): Generator<InternalKey & { readonly value: Uint8Array }> {
  for (const { key, value } of entriesOf(contents, 'a block')) {
    const internal = unpackInternalKey(key);
    if (internal === undefined) throw new BlockError('a block is damaged (a key is too short)');
    yield { ...internal, value };
  }
}

/** Where entries end, from the beginning of a block on whose length is not known. @throws BlockError */
export function* entryEnds(bytes: Buffer): Generator<number> {
  const reader = new VarintReader(bytes);
  while (!reader.ended) {
    reader.number();
    const rest = reader.number();
    const length = reader.number();
    reader.take(rest);
    reader.take(length);
    if (reader.overrun) throw new BlockError('an entry ends too early');
    yield reader.at;
  }
}

/** Fewer bytes where the file ends. @throws the file system's error */
export async function readUpTo(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  const { bytesRead } = await file.read(bytes, 0, length, at);
  return bytes.subarray(0, bytesRead);
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = await readUpTo(file, at, length);
  if (bytes.length < length) throw new BlockError('it ends too early');
  return bytes;
}

function handleOf(reader: VarintReader): BlockHandle {
  return { offset: reader.number(), size: reader.number() };
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

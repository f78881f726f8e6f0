import type { FileHandle } from 'node:fs/promises';
import { ThinError } from '../errors/thin-error.js';
import {
  endOfChunks,
  FIRST_LABEL_AT,
  LABEL_BYTES,
  labelOffset,
  MARGIN,
  packDataLabel,
  packFirstBlocks,
  tailBytes,
  unpackDataLabel,
  type DataLabel,
} from '../format/data-label.js';
import type { DataFile } from './data-file.js';

/** The labels of data, as far as they can be read. */
export interface FoundLabels {
  readonly first: DataLabel | undefined;
  readonly last: { readonly label: DataLabel; readonly at: number } | undefined;
}

/** Bytes behind the chunks in which a label is looked for that is not at the end. */
const LABEL_SEARCH = 4 * 2 ** 20;

/**
 * The label at the end stands there or, where the data grew under the pool, where the first one says, or
 * close behind the chunks.
 * @throws ThinError wrong-version, io
 */
export async function readLabels(
  file: DataFile,
  path: string,
  pool?: { readonly blockSize: number; readonly chunks: number },
): Promise<FoundLabels> {
  const atEnd = await labelAt(file, labelOffset(file.size), path);
  // Without margins, what stands at the start is a chunk's, and may be the label of a pool that is kept in a
  // device.
  if (atEnd?.start === 0) return { first: undefined, last: { label: atEnd, at: labelOffset(file.size) } };
  const first = await firstLabel(file, path);
  if (atEnd !== undefined) return { first, last: { label: atEnd, at: labelOffset(file.size) } };
  for (const at of [...placesBehind(pool, file.size), first?.last ?? 0]) {
    const label = await labelAt(file, at, path);
    if (label !== undefined) return { first: label.start === 0 ? undefined : first, last: { label, at } };
  }
  return { first, last: undefined };
}

/**
 * The label of data that stands alone; the pool's own metadata is not asked. @throws ThinError wrong-version,
 * damaged (they differ), io
 */
export async function readLabel(file: DataFile, path: string): Promise<DataLabel | undefined> {
  return oneOf(await readLabels(file, path), path);
}

/** @throws ThinError damaged: the labels are of two pools */
export function oneOf({ first, last }: FoundLabels, path: string): DataLabel | undefined {
  if (first !== undefined && last !== undefined && first.uuid !== last.label.uuid)
    throw new ThinError(
      'damaged',
      `${path} is of two pools: its start says ${first.uuid}, its end ${last.label.uuid}; find out which pool owns it, and remove the other label: dd if=/dev/zero of=${path} bs=${LABEL_BYTES} count=1 conv=notrunc seek=${FIRST_LABEL_AT / LABEL_BYTES} (start) or seek=${last.at / LABEL_BYTES} (end)`,
      { details: { path } },
    );
  return last?.label ?? first;
}

/** Durable when it resolves. Returns the label, with where the last one stands. */
export async function writeLabels(file: DataFile, label: Omit<DataLabel, 'last'>): Promise<DataLabel> {
  const at = labelOffset(file.size);
  const written = { ...label, last: label.start === 0 ? 0 : at };
  await writeLastLabel(file.handle, at, written);
  if (label.start !== 0) await writeFirstLabel(file.handle, written);
  return written;
}

export async function writeFirstLabel(handle: FileHandle, label: DataLabel): Promise<void> {
  const bytes = packFirstBlocks(label);
  await handle.write(bytes, 0, bytes.length, 0);
  await handle.sync();
}

export async function writeLastLabel(handle: FileHandle, at: number, label: DataLabel): Promise<void> {
  await handle.write(packDataLabel(label), 0, LABEL_BYTES, at);
  await handle.sync();
}

/** Makes both margins zeroes, whatever was there, labels too. Durable when it resolves. */
export async function zeroMargins({ handle, size }: DataFile): Promise<void> {
  const length = Math.min(MARGIN, size);
  await handle.write(new Uint8Array(length), 0, length, 0);
  await handle.write(new Uint8Array(length), 0, length, size - length);
  await handle.sync();
}

/**
 * Writes a label that is lost once more. Returns what it was, in words for the pool's operator.
 * @param label as it is to be; of a pool of before, nothing is done
 */
export async function mendLabels(
  file: DataFile,
  path: string,
  { first, last }: FoundLabels,
  label: DataLabel,
): Promise<readonly string[]> {
  if (label.start === 0) return [];
  const said = (where: string): string =>
    `the label at the ${where} of ${path} was gone and is written again: something wrote to the ${where} of the pool's data, which thinfuse cannot tell from chunks that were overwritten; check what is in your devices`;
  const mended: string[] = [];
  if (last === undefined) {
    await writeLastLabel(file.handle, label.last, label);
    mended.push(said('end'));
  }
  if (first === undefined) mended.push(said('start'));
  if (mended.length > 0) await writeFirstLabel(file.handle, label);
  return mended;
}

/** Data this large holds all chunks and a label. */
export function leastBytes(label: Omit<DataLabel, 'uuid'>): number {
  return endOfChunks(label) + LABEL_BYTES;
}

async function firstLabel(file: DataFile, path: string): Promise<DataLabel | undefined> {
  const label = await labelAt(file, FIRST_LABEL_AT, path);
  return label?.start === 0 ? undefined : label;
}

function placesBehind(
  pool: { readonly blockSize: number; readonly chunks: number } | undefined,
  size: number,
): readonly number[] {
  if (pool === undefined) return [];
  const places: number[] = [];
  for (const start of [0, MARGIN]) {
    const end = start + pool.blockSize * pool.chunks;
    const until = Math.min(
      size - LABEL_BYTES,
      end + Math.min(pool.blockSize, LABEL_SEARCH) + tailBytes({ start }) - LABEL_BYTES,
    );
    for (let at = end; at <= until; at += LABEL_BYTES) places.push(at);
  }
  return places;
}

async function labelAt({ handle, size }: DataFile, at: number, path: string): Promise<DataLabel | undefined> {
  if (at <= 0 || at + LABEL_BYTES > size) return undefined;
  const bytes = new Uint8Array(LABEL_BYTES);
  await handle.read(bytes, 0, LABEL_BYTES, at);
  try {
    return unpackDataLabel(bytes, path);
  } catch (error) {
    if (error instanceof ThinError && error.code === 'damaged') return undefined;
    throw error;
  }
}

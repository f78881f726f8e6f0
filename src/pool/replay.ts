import { ThinError } from '../errors/thin-error.js';
import { changeOf, unpackCreatedDevice } from '../format/device-change.js';
import { unpackDeviceRecord } from '../format/device-record.js';
import { chunkId, deviceId, virtualBlock, type ChunkId, type DeviceId } from '../format/ids.js';
import { LogKind, type LogRecord } from '../format/log-record.js';
import type { DataPlane } from '../io/data-plane.js';
import type { DeviceIo } from '../io/device-io.js';
import type { Metadata } from '../metadata/metadata.js';
import type { Access } from '../store/chunk-access.js';
import { FileAccess } from '../store/file-access.js';
import { foldLog, type ChunkContents, type FoldedLog, type FoldedMappings } from './log-fold.js';

/** Chunks that are asked for before their turn, so that the store reads several at once. */
const AHEAD = 16;

export interface ReplayParts {
  readonly metadata: Metadata;
  readonly plane: DataPlane;
  /** Brings a device up for the time of it. */
  readonly open: (device: DeviceId) => DeviceIo;
  /** Applies what was done to devices that are up, and closes them. */
  readonly close: () => Promise<void>;
}

/**
 * Replays what an earlier process answered and did not commit. Changes that the store has already stay
 * unchanged, so that an interrupted replay can start again. The caller commits before other users see the
 * pool.
 * @throws ThinError damaged (the log and the store do not fit together), io, no-space
 */
export async function replay(parts: ReplayParts): Promise<void> {
  const { metadata, plane } = parts;
  const folded = foldLog(plane.log?.left ?? []);
  // First of all: a commit that it takes to make room must not free what is to be written to.
  await restoreStored({ metadata, plane }, folded);
  for (const { mappings, change } of folded.segments) {
    // A chunk that had got all of its pages may have become a backing since, which only whole ones are.
    if (plane.chunks.access instanceof FileAccess) plane.chunks.prepare();
    await redoMappings(parts, mappings, folded);
    if (change === undefined) break;
    await parts.close();
    redoChange(metadata, change);
    plane.log?.noteRedone(change);
  }
}

async function redoMappings(
  { metadata, plane, open }: ReplayParts,
  mappings: FoldedMappings,
  { chunks }: FoldedLog,
): Promise<void> {
  for (const [device, blocks] of mappings) {
    // It was removed since, with a commit of its own.
    if (!metadata.devices.has(deviceId(device))) continue;
    const io = open(deviceId(device));
    for (const [block, chunk] of blocks) {
      const stored = metadata.lookup(deviceId(device), virtualBlock(block));
      if (chunk === undefined) {
        if (stored !== undefined) await io.restore(block, undefined);
        continue;
      }
      if (stored === chunk) continue;
      if (!metadata.chunks.takeExactly(chunk))
        throw new ThinError('damaged', `chunk ${chunk} was given out by a daemon that died, and is not free`);
      await bringContents(plane, chunkId(chunk), chunks.get(chunk));
      await io.restore(block, chunkId(chunk));
    }
  }
}

/** The devices are as they were then. @throws ThinError damaged */
export function redoChange(metadata: Metadata, { kind, device, origin, payload }: LogRecord): void {
  const id = deviceId(device);
  if (kind === LogKind.REMOVE) {
    requireThere(metadata, device);
    metadata.removeDevice(id);
    return;
  }
  if (kind === LogKind.CHANGE) {
    requireThere(metadata, device);
    metadata.devices.change(id, changeOf(unpackDeviceRecord(id, payload, describe(device))));
    return;
  }
  const { record, originLabel } = unpackCreatedDevice(id, payload, describe(device));
  if (origin !== 0) requireThere(metadata, origin);
  const made =
    origin === 0
      ? metadata.createThin(record)
      : metadata.createSnapshot(deviceId(origin), { ...record, originLabel });
  if (made.id !== id) throw misfit(`device ${made.id} was made in the place of ${device}`);
  metadata.devices.change(id, changeOf(record));
}

function requireThere(metadata: Metadata, device: number): void {
  if (!metadata.devices.has(deviceId(device))) throw misfit(`${describe(device)} is not in the pool`);
}

function describe(device: number): string {
  return `device ${device} in the log`;
}

function misfit(problem: string): ThinError {
  return new ThinError('damaged', `the log does not fit the pool: ${problem}`);
}

/** Of a chunk that no device maps yet. */
async function bringContents(
  plane: DataPlane,
  chunk: ChunkId,
  contents: ChunkContents | undefined,
): Promise<void> {
  const { access } = plane.chunks;
  if (contents === undefined) return;
  const { start, data, pages } = contents;
  if (start.kind === 'partial' && access instanceof FileAccess)
    access.restorePart(chunk, chunkId(start.backing), pages);
  if (start.kind !== 'zeroes' && start.kind !== 'copy') return;
  const [first, ...rest] = data;
  const { within, bytes } = first ?? { within: 0, bytes: new Uint8Array(0) };
  await bringBytes(plane, start.kind === 'copy' ? chunkId(start.origin) : chunk, () =>
    start.kind === 'copy'
      ? access.copy(chunkId(start.origin), chunk, within, bytes, 0, bytes.length)
      : access.provision(chunk, within, bytes, 0, bytes.length, false),
  );
  await layOver(plane, chunk, rest);
}

/** Chunks that the store had before, or has since a commit that the log does not know of. */
async function restoreStored(
  { metadata, plane }: Pick<ReplayParts, 'metadata' | 'plane'>,
  { chunks }: FoldedLog,
): Promise<void> {
  const { access } = plane.chunks;
  // Stores have them in this order.
  const numbers = [...chunks.keys()].sort((a, b) => a - b);
  const isStored = (number: number | undefined): number is number =>
    number !== undefined && metadata.chunks.count(number) > 0;
  for (const [at, number] of numbers.entries()) {
    const later = numbers[at + AHEAD];
    if (isStored(later) && chunks.get(later)?.data.length) askFor(plane, chunkId(later));
    if (!isStored(number)) continue;
    const { data, pages, isFetched } = chunks.get(number)!;
    const chunk = chunkId(number);
    if (isFetched && access instanceof FileAccess && access.isAway(chunk)) access.noteHere(chunk);
    if (access instanceof FileAccess) access.restorePages(chunk, pages);
    else await layOver(plane, chunk, data);
  }
}

/** A failure shows where the chunk is needed. */
function askFor({ chunks }: DataPlane, chunk: ChunkId): void {
  if (chunks.isMissing(chunk)) chunks.bring(chunk)?.catch(() => undefined);
}

async function layOver(plane: DataPlane, chunk: ChunkId, data: ChunkContents['data']): Promise<void> {
  const { access } = plane.chunks;
  for (const { within, bytes } of data)
    await bringBytes(plane, chunk, () => access.overwrite(chunk, within, bytes, 0, bytes.length));
}

/** Does what may lack bytes or room until it is done. @param needed what a `missing` is about */
export async function bringBytes({ chunks }: DataPlane, needed: ChunkId, step: () => Access): Promise<void> {
  for (let outcome = step(); outcome !== 'done'; outcome = step())
    await (outcome === 'missing' ? chunks.bring(needed) : chunks.makeRoom());
}

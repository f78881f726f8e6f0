import type { ImageFile } from '../io/image-file.js';
import { isZero } from '../format/is-zero.js';
import { copyPieces, pieces, type MappedRun } from '../transfer/copy-pieces.js';
import type { DataReader } from './block-reader.js';
import { imageRuns } from './image-runs.js';
import type { ImportTarget, NewDevice } from '../transfer/pool-target.js';
import { changesBetween, type PlanDevice, type PlanStep } from './import-plan.js';

export type { ImportTarget, NewDevice, TargetImage } from '../transfer/pool-target.js';

export interface ImportSource {
  readonly data: DataReader;
  /** Bytes of a data block. */
  readonly blockSize: number;
  readonly dataBlocks: number;
  /** How a device is called in the new pool, and what it is there. */
  readonly describe: (planned: PlanDevice) => Pick<NewDevice, 'name' | 'kind' | 'filesystem'>;
}

export interface ImportOptions {
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal: AbortSignal;
}

export interface ImportedDevice extends NewDevice {
  /** In the old pool; undefined of an ordinary volume. */
  readonly id: number | undefined;
  /** Bytes that were written; the rest is shared with the origin. */
  readonly written: number;
}

/** A plan for one old pool. */
export interface ImportBatch {
  readonly source: ImportSource;
  readonly steps: readonly PlanStep[];
}

/** An ordinary volume, which shares nothing. */
export interface VolumeCopy extends Omit<NewDevice, 'origin'> {
  readonly image: ImageFile;
}

/**
 * Carries out plans. All of it or nothing: what was made is removed again when a device cannot be completed.
 */
export async function importDevices(
  batches: readonly ImportBatch[],
  volumes: readonly VolumeCopy[],
  target: ImportTarget,
  options: ImportOptions,
): Promise<readonly ImportedDevice[]> {
  const done: ImportedDevice[] = [];
  const made: string[] = [];
  try {
    for (const batch of batches) done.push(...(await importBatch(batch, target, options, made)));
    for (const { image, ...volume } of volumes) {
      options.signal.throwIfAborted();
      const device: NewDevice = { ...volume, origin: undefined };
      await target.create(device);
      made.push(device.name);
      const written = await copyVolume(image, device, target, options);
      await target.finish(device);
      done.push({ ...device, id: undefined, written });
    }
    return done;
  } catch (error) {
    for (const name of made.reverse()) await target.remove(name);
    throw error;
  }
}

async function importBatch(
  { source, steps }: ImportBatch,
  target: ImportTarget,
  options: ImportOptions,
  made: string[],
): Promise<readonly ImportedDevice[]> {
  const done: ImportedDevice[] = [];
  const sizes = new Map<number, number>();
  const names = new Map<number, string>();
  for (const { planned, origin, blocks } of steps) {
    options.signal.throwIfAborted();
    const { id } = planned.device;
    const device: NewDevice = {
      ...source.describe(planned),
      origin: origin === undefined ? undefined : names.get(origin.device.id),
      // A volume may have been made smaller than its snapshots; a device here is as large as its origin.
      size: Math.max(planned.size, origin === undefined ? 0 : (sizes.get(origin.device.id) ?? 0)),
    };
    await target.create(device);
    made.push(device.name);
    await fill(source, { planned, origin, blocks }, device, target, options);
    await target.finish(device);
    names.set(id, device.name);
    sizes.set(id, device.size);
    done.push({ ...device, id, written: blocks * source.blockSize });
  }
  return done;
}

async function copyVolume(
  image: ImageFile,
  device: NewDevice,
  target: ImportTarget,
  { onBytes, signal }: ImportOptions,
): Promise<number> {
  const into = await target.open(device.name);
  let written = 0;
  try {
    await copyPieces(pieces(imageRuns(image), 1, device.size), {
      read: async (offset, bytes) => image.read(offset, bytes),
      write: async (offset, bytes) => {
        if (isZero(bytes)) return;
        written += bytes.length;
        await into.write(offset, bytes);
      },
      onBytes,
      signal,
    });
  } finally {
    await into.close();
  }
  return written;
}

async function fill(
  source: ImportSource,
  step: PlanStep,
  device: NewDevice,
  target: ImportTarget,
  { onBytes, signal }: ImportOptions,
): Promise<void> {
  const { data, blockSize } = source;
  const { image: own, below, size } = step.planned;
  const image = await target.open(device.name);
  const write = (offset: number, from: Uint8Array): Promise<void> => image.write(offset, from);
  try {
    for (const { begin, length } of unmappedRuns(source, step)) {
      signal.throwIfAborted();
      const offset = begin * blockSize;
      await image.zero(offset, Math.min(length * blockSize, device.size - offset));
    }
    const written = writtenRuns(source, step);
    await copyPieces(pieces(own === undefined ? written : inPlace(written), blockSize, size), {
      read: async (offset, into) => (own ?? data).read(offset, into),
      write,
      onBytes,
      signal,
    });
    if (below === undefined) return;
    const bare = step.origin === undefined ? holes(source, step) : unmappedRuns(source, step);
    await copyPieces(pieces(inPlace(bare), blockSize, Math.min(size, below.image.size)), {
      read: async (offset, into) => below.image.read(offset, into),
      write: async (offset, from) => (isZero(from) ? undefined : write(offset, from)),
      signal,
    });
  } finally {
    await image.close();
  }
}

/** Runs that are read at the place in the device where they are written. */
function* inPlace(runs: Iterable<{ begin: number; length: number }>): Generator<MappedRun> {
  for (const { begin, length } of runs) yield { begin, data: begin, length };
}

/** What a device does not map, up to its end. */
function* holes(source: ImportSource, step: PlanStep): Generator<{ begin: number; length: number }> {
  let at = 0;
  for (const { begin, length } of writtenRuns(source, step)) {
    if (begin > at) yield { begin: at, length: begin - at };
    at = begin + length;
  }
  const end = Math.ceil(step.planned.size / source.blockSize);
  if (end > at) yield { begin: at, length: end - at };
}

function* writtenRuns({ dataBlocks }: ImportSource, { origin, planned }: PlanStep): Generator<MappedRun> {
  for (const change of changesBetween(origin, planned, dataBlocks)) if (change.kind === 'write') yield change;
}

function* unmappedRuns(
  { dataBlocks }: ImportSource,
  { origin, planned }: PlanStep,
): Generator<{ begin: number; length: number }> {
  for (const change of changesBetween(origin, planned, dataBlocks)) if (change.kind === 'unmap') yield change;
}

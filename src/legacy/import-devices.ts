import { copyPieces, pieces, type MappedRun } from '../transfer/copy-pieces.js';
import type { DataReader } from './block-reader.js';
import { changesBetween, type PlanDevice, type PlanStep } from './import-plan.js';
import type { ImportTarget, NewDevice } from '../transfer/pool-target.js';

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
  readonly id: number;
  /** Bytes that were written; the rest is shared with the origin. */
  readonly written: number;
}

/** Carries out a plan. All of it or nothing: what was made is removed again when a device cannot be completed. */
export async function importDevices(
  source: ImportSource,
  steps: readonly PlanStep[],
  target: ImportTarget,
  options: ImportOptions,
): Promise<readonly ImportedDevice[]> {
  const done: ImportedDevice[] = [];
  const made: string[] = [];
  const sizes = new Map<number, number>();
  const names = new Map<number, string>();
  try {
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
  } catch (error) {
    for (const name of made.reverse()) await target.remove(name);
    throw error;
  }
}

async function fill(
  source: ImportSource,
  step: PlanStep,
  device: NewDevice,
  target: ImportTarget,
  { onBytes, signal }: ImportOptions,
): Promise<void> {
  const { data, blockSize } = source;
  const image = await target.open(device.name);
  try {
    for (const { begin, length } of unmappedRuns(source, step)) {
      signal.throwIfAborted();
      const offset = begin * blockSize;
      await image.zero(offset, Math.min(length * blockSize, device.size - offset));
    }
    await copyPieces(pieces(writtenRuns(source, step), blockSize, step.planned.size), {
      read: (offset, into) => data.read(offset, into),
      write: (offset, from) => image.write(offset, from),
      onBytes,
      signal,
    });
  } finally {
    await image.close();
  }
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

import { summarizeDevice } from './device-summary.js';
import type { Damage, LegacyDevice, LegacyPool } from './legacy-pool.js';
import type { LostRange } from './legacy-tree.js';

/** What is wrong with one device. */
interface DeviceDamage {
  readonly lost: readonly LostRange[];
  /** Nothing is lost, and yet it is not what dm-thin leaves. */
  readonly doubts: readonly Damage[];
}

/** Walks all mappings of a device. */
export function deviceDamage(device: LegacyDevice, pool: LegacyPool): DeviceDamage {
  const { mapped, lost } = summarizeDevice(device, pool.dataBlocks);
  return { lost, doubts: recordDoubts(device, lost.length > 0 ? undefined : mapped) };
}

/** `mapped`: blocks that its tree maps; undefined where some are lost. */
export function recordDoubts({ id, details }: LegacyDevice, mapped: number | undefined): readonly Damage[] {
  const path = `device ${id}`;
  if (details === undefined) return [{ path, problem: 'its record is lost' }];
  if (mapped === undefined || details.mappedBlocks === BigInt(mapped)) return [];
  return [{ path, problem: `${mapped} blocks are mapped, and its record says ${details.mappedBlocks}` }];
}

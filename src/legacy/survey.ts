import { summarizeDevice, type DeviceSummary } from './device-summary.js';
import type { Damage, LegacyDevice, LegacyPool } from './legacy-pool.js';
import { describeLost } from './lost-ranges.js';
import { checkSpaceMaps } from './space-maps.js';

/** Walks everything in the metadata, as thin_check does, and collects what is wrong. */
export function surveyDamage(pool: LegacyPool): readonly Damage[] {
  return [
    ...pool.damage,
    ...pool.devices.flatMap((device) => deviceDamage(device, pool)),
    ...checkSpaceMaps(pool),
  ];
}

function deviceDamage(device: LegacyDevice, pool: LegacyPool): readonly Damage[] {
  const summary = summarizeDevice(device, pool.dataBlocks);
  const blockSize = pool.superblock.blockSize;
  const damage: Damage[] = summary.lost.map((lost) => ({
    path: lost.path,
    problem: `${lost.problem}; ${describeLost(lost, blockSize)} is lost with it`,
  }));
  const path = `device ${device.id}`;
  if (device.details === undefined) damage.push({ path, problem: 'its record is lost' });
  else if (summary.lost.length === 0 && device.details.mappedBlocks !== BigInt(summary.mapped))
    damage.push({ path, problem: mismatch(device.details.mappedBlocks, summary) });
  return damage;
}

function mismatch(recorded: bigint, { mapped }: DeviceSummary): string {
  return `${mapped} blocks are mapped, and its record says ${recorded}`;
}

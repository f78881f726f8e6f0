import { ThinError } from '../errors/thin-error.js';
import { deviceDamage } from './device-damage.js';
import { lostDataLines, missingData } from './missing-data.js';
import { damagedDevice, lostLines } from './lost-ranges.js';
import type { NamedDevice } from './named-devices.js';
import type { OldPool } from './old-source.js';
import type { OpenedThinDevice } from './opened-device.js';
import type { OpenRequest } from './old-device.js';
import { requireData } from './open-source.js';

/**
 * Returns what of its mappings is lost or does not agree, which is said. Errors: damaged, unless it is to be
 * skipped.
 */
export function requireWhole(
  { pool }: OldPool,
  named: NamedDevice,
  { skipDamaged, onNote }: OpenRequest,
): readonly string[] {
  const { blockSize } = pool.superblock;
  const { lost, doubts } = deviceDamage(named.device, pool);
  if (!skipDamaged) {
    if (lost.length > 0) throw damagedDevice(named.label, lost, blockSize);
    const [doubt] = doubts;
    if (doubt !== undefined)
      throw new ThinError(
        'damaged',
        `device ${named.label} does not agree with its record: ${doubt.path}: ${doubt.problem}; --skip-damaged trusts its mappings`,
        { details: { device: named.label } },
      );
  }
  const lines = [...lostLines(lost, blockSize), ...doubts.map(({ path, problem }) => `${path}: ${problem}`)];
  for (const line of lines) onNote(line);
  return lines;
}

/**
 * Returns what of its data is not there at all, which is said. Errors: damaged, unless it is to be skipped.
 */
export function requireWholeData(
  pool: OldPool,
  device: OpenedThinDevice,
  { skipDamaged, onNote }: OpenRequest,
): readonly string[] {
  const missing = missingData(pool.pool, requireData(pool), device);
  const lines = lostDataLines(device.label, missing);
  if (missing.length > 0 && !skipDamaged)
    throw new ThinError(
      'damaged',
      `device ${device.label} is not whole: ${lines.slice(0, 5).join('; ')}${lines.length > 5 ? `; and ${lines.length - 5} ranges more` : ''}; --skip-damaged reads them as zeroes`,
      { details: { device: device.label, ranges: missing.length } },
    );
  for (const line of lines) onNote(line);
  return lines;
}

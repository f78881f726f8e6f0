import { formatBinarySize } from '../../config/sizes.js';
import { ThinError } from '../../errors/thin-error.js';
import { METADATA_BLOCK } from '../../legacy/disk-block.js';
import type { Damage } from '../../legacy/legacy-pool.js';
import { missingDevices } from '../../legacy/named-devices.js';
import type { OldPool, PlainVolume } from '../../legacy/old-source.js';
import { surveyDamage } from '../../legacy/survey.js';
import type { Context } from '../context.js';
import { splitOperands, type SourceFlags } from './flags.js';
import { withSourcePool } from './source.js';
import { print, printJson } from '../output.js';
import { exact } from './run-list.js';

export async function runLegacyInfo(
  context: Context,
  operands: readonly string[],
  flags: SourceFlags,
): Promise<void> {
  const { paths } = splitOperands(operands, flags, []);
  await withSourcePool(paths, flags, (source) => {
    const found = source.pools.map((pool) => ({
      pool,
      damage: [...surveyDamage(pool.pool), ...dataDamage(pool)],
    }));
    const missing = source.volumes.flatMap(({ name, disk, problem }) =>
      disk === undefined && problem?.code === 'damaged' ? [{ path: name, problem: problem.message }] : [],
    );
    const broken = source.broken.map(({ path, error }) => ({ path, problem: error.message }));
    if (context.json) {
      const all = found.map(({ pool, damage }) => infoJson(pool, damage));
      printJson(
        all.length === 1 && source.volumes.length === 0 && broken.length === 0
          ? all[0]
          : { path: source.path, pools: all, volumes: source.volumes.map(volumeJson), broken },
      );
    } else
      print(
        [
          ...found.map(({ pool, damage }) => infoText(pool, damage)),
          ...(source.volumes.length === 0 ? [] : [volumesText(source.volumes)]),
        ].join('\n\n'),
      );
    const damage = [...found.flatMap((one) => one.damage), ...missing, ...broken];
    if (damage.length > 0)
      throw new ThinError(
        'damaged',
        `the old pool ${source.path} has ${damage.length} problems; what is sound can be read all the same, and devices that are not with --skip-damaged`,
      );
    return Promise.resolve();
  });
}

function volumesText(volumes: readonly PlainVolume[]): string {
  return [
    'ordinary volumes:',
    ...volumes.map(({ group, name, disk, problem }) =>
      disk === undefined ? `  ${problem?.message}` : `  ${group}/${name}: ${formatBinarySize(disk.size)}`,
    ),
  ].join('\n');
}

function volumeJson({ group, name, disk, problem }: PlainVolume): Readonly<Record<string, unknown>> {
  return { group, name, size: disk?.size, problem: problem?.message };
}

/** Data that ends too early or has a part missing is damage, too, though the metadata is sound. */
function dataDamage({ pool, data }: OldPool): readonly Damage[] {
  const expected = pool.dataBlocks * pool.superblock.blockSize;
  if (data === undefined) return [];
  if (data.size < expected)
    return [{ path: data.path, problem: `it has ${data.size} bytes, and the pool ${expected} of data` }];
  return data.gaps(0, expected).map(({ begin, end, problem }) => ({
    path: data.path,
    problem: `bytes ${begin} to ${end - 1} cannot be read: ${problem}`,
  }));
}

function infoJson(source: OldPool, damage: readonly Damage[]): Readonly<Record<string, unknown>> {
  const { superblock } = source.pool;
  const { blockSize, dataSpaceMap, metadataSpaceMap } = superblock;
  return {
    path: source.path,
    uuid: superblock.uuid,
    version: superblock.version,
    time: superblock.time,
    transactionId: exact(superblock.transactionId),
    flags: superblock.flags,
    needsCheck: superblock.needsCheck,
    metadataSnapshot: superblock.heldRoot === 0 ? null : superblock.heldRoot,
    blockSize,
    dataTotal: dataSpaceMap.blocks * blockSize,
    dataUsed: dataSpaceMap.allocated * blockSize,
    metadataBlockSize: METADATA_BLOCK,
    metadataTotal: metadataSpaceMap.blocks * METADATA_BLOCK,
    metadataUsed: metadataSpaceMap.allocated * METADATA_BLOCK,
    devices: source.devices.length,
    dockerOnly: missingDevices(source.pool.devices, source.docker).map(({ hash }) => hash),
    damage,
  };
}

function infoText(source: OldPool, damage: readonly Damage[]): string {
  const { superblock } = source.pool;
  const { blockSize, dataSpaceMap, metadataSpaceMap } = superblock;
  const space = (used: number, total: number, unit: number): string =>
    `${formatBinarySize(used * unit)} of ${formatBinarySize(total * unit)} (${used} of ${total} blocks)`;
  const missing = missingDevices(source.pool.devices, source.docker);
  return [
    `pool: ${source.path}`,
    `version: ${superblock.version}`,
    `uuid: ${/^0*$/.test(superblock.uuid) ? 'none' : superblock.uuid}`,
    `transaction: ${superblock.transactionId}`,
    `time: ${superblock.time}`,
    `needs check: ${superblock.needsCheck ? 'yes' : 'no'}`,
    `metadata snapshot: ${superblock.heldRoot === 0 ? 'none' : `block ${superblock.heldRoot}`}`,
    `block size: ${formatBinarySize(blockSize)}`,
    `data: ${space(dataSpaceMap.allocated, dataSpaceMap.blocks, blockSize)}`,
    `metadata: ${space(metadataSpaceMap.allocated, metadataSpaceMap.blocks, METADATA_BLOCK)}`,
    `devices: ${source.devices.length}`,
    ...(missing.length === 0
      ? []
      : [`only in Docker's files: ${missing.map(({ hash }) => hash.slice(0, 12)).join(', ')}`]),
    `damage: ${damage.length === 0 ? 'none' : String(damage.length)}`,
    ...damage.map(({ path, problem }) => `  ${path}: ${problem}`),
  ].join('\n');
}

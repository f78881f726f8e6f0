import type { Command } from 'commander';
import { formatBinarySize } from '../../config/sizes.js';
import { ThinError } from '../../errors/thin-error.js';
import type { Damage } from '../../legacy/legacy-pool.js';
import { missingDevices } from '../../legacy/named-devices.js';
import type { OldPool, OldSource, PlainVolume } from '../../legacy/old-source.js';
import type { SourceSurvey } from '../../legacy/survey.js';
import { contextOf, type Context } from '../context.js';
import { example } from '../example.js';
import { print, printJson } from '../output.js';
import { exact, sourceOf, splitOperands, withSource, type SourceFlags } from './flags.js';

/** Bytes; dm-thin has no other. */
const METADATA_BLOCK = 4096;

export function registerLegacyInfo(legacy: Command): void {
  withSource(
    legacy
      .command('info')
      .summary('show an old pool and its damage')
      .description(
        'Shows the superblock of an old pool and reads all of its metadata. Fails (7) if something is damaged.',
      )
      .usage('[options] (PATH... | --metadata META [--data DATA])')
      .argument('[path...]', 'a /var/lib/docker/devicemapper, or disks of LVM'),
  )
    .addHelpText('after', example('thinfuse legacy info /var/lib/docker/devicemapper'))
    .action(async (operands: string[], flags: SourceFlags, command: Command) => {
      await info(contextOf(command), operands, flags);
    });
}

async function info(context: Context, operands: readonly string[], flags: SourceFlags): Promise<void> {
  const { withOldSource } = await import('../../legacy/open-source.js');
  const { surveySource } = await import('../../legacy/survey.js');
  const { paths } = splitOperands(operands, flags, []);
  await withOldSource(sourceOf(paths, flags), (source) => {
    const found = surveySource(source);
    if (context.json) printJson(sourceJson(source, found));
    else printText(source, found);
    const damage = [...found.pools.flatMap((one) => one.damage), ...found.missing, ...found.broken];
    if (damage.length > 0)
      throw new ThinError(
        'damaged',
        `the old pool ${source.path} has ${damage.length} problems; sound devices can still be read, and damaged devices with --skip-damaged`,
      );
    return Promise.resolve();
  });
}

function sourceJson(source: OldSource, { pools, broken }: SourceSurvey): unknown {
  const all = pools.map(({ pool, damage }) => infoJson(pool, damage));
  return all.length === 1 && source.volumes.length === 0 && broken.length === 0
    ? all[0]
    : { path: source.path, pools: all, volumes: source.volumes.map(volumeJson), broken };
}

function printText({ volumes }: OldSource, { pools }: SourceSurvey): void {
  print(
    [
      ...pools.map(({ pool, damage }) => infoText(pool, damage)),
      ...(volumes.length === 0 ? [] : [volumesText(volumes)]),
    ].join('\n\n'),
  );
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
    `damage: ${damage.length === 0 ? 'none' : damage.length}`,
    ...damage.map(({ path, problem }) => `  ${path}: ${problem}`),
  ].join('\n');
}

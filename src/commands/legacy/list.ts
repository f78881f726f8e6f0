import type { Command } from 'commander';
import { formatBinarySize } from '../../config/sizes.js';
import { ThinError } from '../../errors/thin-error.js';
import { formatTable } from '../../docker/table.js';
import type { ListedOldDevice } from '../../legacy/device-list.js';
import { contextOf, type Context } from '../context.js';
import { example } from '../example.js';
import { note, print, printJson } from '../output.js';
import { exact, sourceOf, splitOperands, withSource, type SourceFlags } from './flags.js';

export function registerLegacyList(legacy: Command): void {
  withSource(
    legacy
      .command('ls')
      .summary('list the devices of an old pool')
      .description(
        'Lists the thin devices of an old pool by number, with the names that Docker gave to their images and containers.',
      )
      .usage('[options] (PATH... | --metadata META [--data DATA])')
      .argument('[path...]', 'a /var/lib/docker/devicemapper, or disks of LVM'),
  )
    .addHelpText(
      'after',
      example(
        'thinfuse legacy ls /var/lib/docker/devicemapper',
        'thinfuse legacy ls --metadata /dev/vg/pool_tmeta --data /dev/vg/pool_tdata',
      ),
    )
    .action(async (operands: string[], flags: SourceFlags, command: Command) => {
      await list(contextOf(command), operands, flags);
    });
}

async function list(context: Context, operands: readonly string[], flags: SourceFlags): Promise<void> {
  const { listDevices } = await import('../../legacy/device-list.js');
  const { withOldSource } = await import('../../legacy/open-source.js');
  const { paths } = splitOperands(operands, flags, []);
  const { devices, damage, broken } = await withOldSource(sourceOf(paths, flags), async (source) => ({
    ...(await listDevices(source)),
    broken: source.broken,
  }));
  for (const { path, problem } of damage) note(`${path} is damaged: ${problem}`);
  for (const { one, problem } of devices) if (problem !== undefined) note(`${one.label}: ${problem}`);
  if (context.json) printJson(devices.map(deviceJson));
  else print(table(devices));
  // The rest of the disks is listed; the problem of the pool was reported when it was opened.
  const [first] = broken;
  if (first !== undefined) throw new ThinError(first.error.code, context.json ? first.error.message : '');
}

const NONE = '-';

function table(rows: readonly ListedOldDevice[]): string {
  return formatTable(
    [
      { title: 'ID', right: true },
      { title: 'NAME' },
      { title: 'KIND' },
      { title: 'FSTYPE' },
      { title: 'SIZE', right: true },
      { title: 'MAPPED', right: true },
      { title: 'HIGHEST', right: true },
      { title: 'TRANSACTION', right: true },
      { title: 'CREATED', right: true },
      { title: 'SNAPPED', right: true },
      { title: 'STATE' },
    ],
    rows.map(({ one, size, filesystem, mapped, highest, state }) => {
      const details = one.kind === 'thin' ? one.named.device.details : undefined;
      return [
        one.kind === 'thin' ? String(one.number) : NONE,
        one.label,
        one.role,
        filesystem ?? NONE,
        bytes(size),
        bytes(mapped),
        bytes(highest),
        details === undefined ? NONE : String(details.transactionId),
        details === undefined ? NONE : String(details.creationTime),
        details === undefined ? NONE : String(details.snapTime),
        state,
      ];
    }),
  );
}

function bytes(size: number | undefined): string {
  return size === undefined ? NONE : formatBinarySize(size);
}

function deviceJson({
  one,
  size,
  filesystem,
  mapped,
  highest,
  state,
  problem,
}: ListedOldDevice): Readonly<Record<string, unknown>> {
  const common = { name: one.label, kind: one.role, filesystem, size, damaged: state === 'damaged', state };
  if (one.kind === 'plain') return { ...common, group: one.volume.group, problem };
  const { device, docker, volume } = one.named;
  return {
    id: device.id,
    ...common,
    names: docker?.names ?? [],
    hash: docker?.hash,
    parent: docker?.parent,
    group: volume?.group,
    pool: one.pool.path,
    origin: volume?.origin,
    externalOrigin: volume?.externalOrigin,
    mapped,
    highestMapped: highest,
    transactionId: exact(device.details?.transactionId),
    creationTime: device.details?.creationTime,
    snapTime: device.details?.snapTime,
  };
}

import type { Command } from 'commander';
import type { DeviceStatus } from '../api/operations.js';
import { FIELD_NAMES, fieldJson, fieldTable, parseFields } from '../docker/device-fields.js';
import { CHOICE_KEYS, filtered, sorted } from '../docker/choose-devices.js';
import { lineage, type LineageNode } from '../docker/lineage.js';
import { listTable, poolTable, spaceTable, treeDot, treeTable } from '../docker/listings.js';
import { blockFacts, blockTree, lsblkJson, lsblkTable, type BlockFacts } from '../docker/lsblk.js';
import { devicePrefix } from '../docker/prefix.js';
import { suggestion } from '../config/nearest.js';
import { ThinError } from '../errors/thin-error.js';
import type { DeviceKind, PoolInfo } from '../pool/info.js';
import { dataPlace } from '../daemon/data-place.js';
import { withPool } from './connect.js';
import { contextOf, type Context } from './context.js';
import { deviceJson } from './device-json.js';
import { example } from './example.js';
import { isKernel, requireKernel, withKernelOption, type KernelFlags } from './kernel/flags.js';
import { note, print, printResult } from './output.js';
import { poolSpace, type PoolSpace } from '../daemon/pool-space.js';
import { isPassing } from '../format/passing-name.js';
import { kernelSnapshotOf, withSnapshotOption, type SnapshotFlag } from './snapshot-option.js';

export function registerListCommands(program: Command): void {
  addList(
    withSnapshotOption(withKernelOption(program.command('ls'))),
    undefined,
    'thinfuse ls | awk \'$9 == "mounted" { print $1 }\'',
  );

  program
    .command('tree')
    .summary('show devices by lineage')
    .description('Draws the lineage of all devices; an origin that was removed keeps its place.')
    .option('--dot', 'as a graph for Graphviz')
    .addHelpText('after', example('thinfuse tree', 'thinfuse tree --dot | dot -Tsvg >tree.svg'))
    .action(async (options: { dot?: boolean }, command: Command) => {
      const context = contextOf(command);
      const { devices } = await look(context);
      if (options.dot === true && !context.json) print(treeDot(devices));
      else printResult(context, lineage(devices).map(nodeJson), treeTable(devices));
    });

  program
    .command('df')
    .summary('show the space that devices take')
    .description(
      'Shows for each device its virtual size and how much it maps, maps alone (its removal frees that) and shares; then the data and the metadata of the pool, the free space, and the space that the data takes of the host.',
    )
    .addHelpText('after', example('thinfuse df', "thinfuse df --json | jq '.devices[].exclusive'"))
    .action(async (_options: unknown, command: Command) => {
      const context = contextOf(command);
      const { devices, info } = await look(context);
      const space = await poolSpace(context.layout, info);
      printResult(
        context,
        spaceJson(devices, info, space),
        `${spaceTable(devices, info)}\n\n${poolTable(space)}`,
      );
    });

  program
    .command('lsblk')
    .summary('show the pool as block devices')
    .description('Draws the pool below its data and metadata, as lsblk showed the devices of a kernel pool.')
    .addHelpText('after', example('thinfuse lsblk'))
    .action(async (_options: unknown, command: Command) => {
      const context = contextOf(command);
      const { devices, info } = await look(context);
      const prefix = await devicePrefix(context.layout.root);
      const { kind, path: data } = await dataPlace(context.layout, info);
      const dataPath = kind === 'leveldb' ? undefined : data;
      const facts = await factsOf([...devices.map(({ loop }) => loop), dataPath]);
      const roots = blockTree({ prefix, info, devices, dataPath, facts });
      printResult(context, lsblkJson(roots), lsblkTable(roots));
    });
}

interface ListFlags extends KernelFlags, SnapshotFlag {
  readonly format?: string;
  readonly headers: boolean;
  readonly sort?: string;
  readonly filter: readonly string[];
  readonly quiet?: boolean;
}

/** `ls`, `image ls` and `container ls`. */
export function addList(command: Command, kind: DeviceKind | undefined, sample: string): void {
  command
    .summary(`list ${kind === undefined ? 'devices' : `${kind}s`}`)
    .description(
      `Lists ${kind === undefined ? 'all devices' : `${kind}s`} by number, one a line, in columns that awk and sort can use.`,
    )
    .alias('list')
    .argument('[id...]', 'only these')
    .option(
      '-o, --format <fields>',
      `these columns, as thin_ls prints them, of: ${FIELD_NAMES.join(',')}; all, or +FIELDS: besides those of the table`,
    )
    .option('--no-headers', 'with --format, no line of titles')
    .option('--sort <key>', `by ${CHOICE_KEYS.join(', ')}; -KEY: the largest first`)
    .option(
      '--filter <condition>',
      'only those for which it holds, such as state=mounted, name=ci-*, mapped>1G; may be repeated',
      (condition: string, before: readonly string[]) => [...before, condition],
      [] as readonly string[],
    )
    .option('-q, --quiet', 'names alone')
    .addHelpText('after', example(sample, `${sample.split(' | ')[0]!} -o DEV,NAME,MAPPED,EXCLUSIVE_BLOCKS`))
    .action(async (names: readonly string[], options: ListFlags, self: Command) => {
      const context = contextOf(self);
      requireKernel(options, { '--metadata-snap': options.metadataSnap });
      if (isKernel(options)) {
        const { sort, filter, quiet } = options;
        if (names.length > 0 || sort !== undefined || filter.length > 0 || quiet === true)
          throw new ThinError(
            'invalid-argument',
            'ls --metadata lists all devices, as thin_ls does; leave names, --sort, --filter and --quiet out',
          );
        const { listKernelMetadata } = await import('./kernel/list.js');
        const { format, headers } = options;
        await listKernelMetadata(context, options, { format, headers, snapshot: kernelSnapshotOf(options) });
        return;
      }
      const fields = options.format === undefined ? undefined : parseFields(options.format, FIELD_NAMES);
      const { devices: all, info } = await look(context);
      const ofKind = all.filter((device) => kind === undefined || device.kind === kind);
      const chosen = filtered(named(ofKind, names, all), options.filter);
      const devices = options.sort === undefined ? chosen : sorted(chosen, options.sort);
      if (options.quiet === true) {
        printResult(
          context,
          devices.map(({ name }) => name),
          devices.map(({ name }) => name).join('\n'),
        );
        return;
      }
      if (fields !== undefined) {
        const text = fieldTable(devices, fields, { blockSize: info.blockSize, headers: options.headers });
        printResult(context, fieldJson(devices, fields, info), text);
        return;
      }
      printResult(context, devices.map(deviceJson), listTable(devices));
    });
}

/** @throws ThinError not-found */
function named(
  devices: readonly DeviceStatus[],
  names: readonly string[],
  all: readonly DeviceStatus[],
): readonly DeviceStatus[] {
  if (names.length === 0) return devices;
  for (const name of names)
    if (!devices.some((device) => device.name === name)) {
      const { text, details } = suggestion(
        name,
        all.map((device) => device.name),
      );
      throw new ThinError('not-found', `there is no device ${name} to list${text}`, {
        details: { device: name, ...details },
      });
    }
  return devices.filter(({ name }) => names.includes(name));
}

async function look(context: Context): Promise<{ devices: readonly DeviceStatus[]; info: PoolInfo }> {
  const found = await withPool(context, async (caller) => ({
    // What a command makes for itself is no device of the user's.
    devices: (await caller.call('device.list', {})).filter(({ name }) => !isPassing(name)),
    info: await caller.call('pool.info', {}),
  }));
  if (found.info.lacks !== undefined) note(found.info.lacks);
  return found;
}

/** An origin that was removed has its name and number only. */
function nodeJson({ id, name, device, children }: LineageNode): Readonly<Record<string, unknown>> {
  return {
    ...(device === undefined ? { name, id, kind: 'removed' } : deviceJson(device)),
    children: children.map(nodeJson),
  };
}

function spaceJson(
  devices: readonly DeviceStatus[],
  info: PoolInfo,
  { data, host }: PoolSpace,
): Readonly<Record<string, unknown>> {
  return {
    pool: {
      total: info.dataTotal,
      used: info.dataUsed,
      stored: info.dataStored ?? null,
      free: info.dataTotal - info.dataUsed,
      available: data.available,
      dataPath: data.path,
      hostBytes: host.bytes,
      hostFree: host.free ?? null,
      metadataTotal: info.metadataTotal,
      metadataUsed: info.metadataUsed,
      pendingDeletes: info.pendingDeletes,
    },
    devices: devices.map(({ name, kind, size, mapped, exclusive, shared, mountPoint }) => ({
      name,
      kind,
      size,
      mapped,
      exclusive,
      shared,
      mountPoint,
    })),
  };
}

async function factsOf(paths: readonly (string | undefined)[]): Promise<ReadonlyMap<string, BlockFacts>> {
  const facts = new Map<string, BlockFacts>();
  for (const path of paths) {
    const found = path === undefined ? undefined : await blockFacts(path);
    if (path !== undefined && found !== undefined) facts.set(path, found);
  }
  return facts;
}

import { formatBinarySize } from '../config/sizes.js';
import { PUSHED } from '../format/device-record.js';
import type { PoolInfo } from '../pool/info.js';
import { drawBranches } from './branches.js';
import { lineage, type LineageNode } from './lineage.js';
import type { ListedDevice } from './listed-device.js';
import { formatTable, type Column } from './table.js';

const NONE = '-';

const right = (title: string): Column => ({ title, right: true });
const left = (title: string): Column => ({ title });

/**
 * `deleted` waits for its last user; `active` has its image file; `pushed` is kept to compare the next push
 * with.
 */
export const DEVICE_STATES = ['mounted', 'active', 'inactive', 'deleted', 'unfinished', 'pushed'] as const;
export type DeviceState = (typeof DEVICE_STATES)[number];

/** A disk that thinfuse has made no filesystem on has none that is known. */
export function shownFilesystem({
  filesystem,
  content,
}: Pick<ListedDevice, 'filesystem' | 'content'>): string {
  return content === 'raw' ? '-' : filesystem;
}

export function deviceState(device: ListedDevice): DeviceState {
  if (device.deleted) return 'deleted';
  if (device.maker === PUSHED) return 'pushed';
  if (device.maker !== '') return 'unfinished';
  if (device.mountPoint !== undefined) return 'mounted';
  return device.active ? 'active' : 'inactive';
}

/** One line a device, in the order given. */
export function listTable(devices: readonly ListedDevice[]): string {
  return formatTable(
    [
      left('NAME'),
      right('ID'),
      left('KIND'),
      left('ORIGIN'),
      left('FSTYPE'),
      right('SIZE'),
      right('MAPPED'),
      left('CREATED'),
      left('STATE'),
      left('MOUNTPOINT'),
    ],
    devices.map((device) => [
      device.name,
      String(device.id),
      device.kind,
      device.originName ?? NONE,
      shownFilesystem(device),
      formatBinarySize(device.size),
      formatBinarySize(device.mapped),
      `${new Date(device.createdAt).toISOString().slice(0, -'.000Z'.length)}Z`,
      deviceState(device),
      device.mountPoint ?? NONE,
    ]),
  );
}

/** Devices by lineage. An origin that was removed has the kind `removed`. */
export function treeTable(devices: readonly ListedDevice[]): string {
  return formatTable(
    [
      left('NAME'),
      left('KIND'),
      right('SIZE'),
      right('MAPPED'),
      right('EXCLUSIVE'),
      right('SHARED'),
      left('STATE'),
    ],
    drawBranches(lineage(devices)).map(({ node: { name, device }, branches }) => [
      branches + name,
      ...(device === undefined
        ? ['removed', NONE, NONE, NONE, NONE, NONE]
        : [device.kind, ...sizes(device), deviceState(device)]),
    ]),
  );
}

/** The same as a graph in Graphviz's language, origins to their snapshots. */
export function treeDot(devices: readonly ListedDevice[]): string {
  const quoted = (text: string): string => JSON.stringify(text);
  const lines: string[] = [];
  const visit = ({ id, name, device, children }: LineageNode): void => {
    const label =
      device === undefined
        ? `${name}\n(removed)`
        : `${name}\n${device.kind}, ${formatBinarySize(device.mapped)}`;
    lines.push(`  d${id} [label=${quoted(label)}${device === undefined ? ', style=dashed' : ''}];`);
    for (const child of children) {
      lines.push(`  d${id} -> d${child.id};`);
      visit(child);
    }
  };
  lineage(devices).forEach(visit);
  return ['digraph thinfuse {', '  node [shape=box];', ...lines, '}'].join('\n');
}

/**
 * What each device is large, what it maps, and what would come back with its removal; the pool's own line, if
 * given, ends it, with what is stored.
 */
export function spaceTable(
  devices: readonly ListedDevice[],
  pool?: Pick<PoolInfo, 'dataTotal' | 'dataUsed' | 'dataStored'>,
): string {
  const total =
    pool === undefined
      ? []
      : [
          [
            'pool',
            formatBinarySize(pool.dataTotal),
            formatBinarySize(pool.dataUsed),
            NONE,
            NONE,
            percent(pool.dataUsed, pool.dataTotal),
            NONE,
          ],
          ...(pool.dataStored === undefined
            ? []
            : [['stored', NONE, formatBinarySize(pool.dataStored), NONE, NONE, NONE, NONE]]),
        ];
  return formatTable(
    [
      left('NAME'),
      right('VIRTUAL'),
      right('MAPPED'),
      right('EXCLUSIVE'),
      right('SHARED'),
      right('USE%'),
      left('MOUNTPOINT'),
    ],
    [
      ...devices.map((device) => [
        device.name,
        ...sizes(device),
        percent(device.mapped, device.size),
        device.mountPoint ?? NONE,
      ]),
      ...total,
    ],
  );
}

export interface PoolTotals {
  readonly data: {
    readonly path: string;
    readonly total: number;
    readonly used: number;
    readonly available: number;
  };
  readonly metadata: { readonly total: number; readonly used: number };
  readonly host: { readonly bytes: number; readonly free: number | undefined };
}

/** The pool in one line: data, metadata, and what it has of the host. */
export function poolTable({ data, metadata, host }: PoolTotals): string {
  return formatTable(
    [
      left('POOL'),
      ...['DATA', 'USED', 'FREE', 'DATA%', 'META', 'META%', 'ON-HOST', 'HOST-FREE'].map(right),
      left('ON'),
    ],
    [
      [
        'pool',
        ...[data.total, data.used, data.available].map(formatBinarySize),
        percent(data.used, data.total),
        formatBinarySize(metadata.total),
        percent(metadata.used, metadata.total),
        formatBinarySize(host.bytes),
        host.free === undefined ? NONE : formatBinarySize(host.free),
        data.path,
      ],
    ],
  );
}

function sizes({ size, mapped, exclusive, shared }: ListedDevice): string[] {
  return [size, mapped, exclusive, shared].map(formatBinarySize);
}

/** Rounded up as df does: what is used is never 0%. */
function percent(used: number, total: number): string {
  return total === 0 ? NONE : `${String(Math.ceil((used / total) * 100))}%`;
}

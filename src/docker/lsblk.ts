import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { formatBinarySize } from '../config/sizes.js';
import type { PoolInfo } from '../pool/info.js';
import { drawBranches } from './branches.js';
import type { ListedDevice } from './listed-device.js';
import { deviceName, poolName } from './prefix.js';
import { formatTable } from './table.js';

/** What the kernel knows of a block device. */
export interface BlockFacts {
  /** `MAJ:MIN`. */
  readonly number: string;
  readonly readOnly: boolean;
}

export interface BlockNode {
  readonly name: string;
  /** Undefined for what is no device of the kernel's. */
  readonly number: string | undefined;
  readonly size: number;
  readonly readOnly: boolean;
  /**
   * `leveldb`, `file` or `disk` below the pool; `dm` for the pool and its devices, as lsblk had it for
   * Docker's.
   */
  readonly type: string;
  readonly mountPoint: string | undefined;
  readonly children: readonly BlockNode[];
}

export interface LsblkInput {
  readonly prefix: string;
  readonly info: Pick<PoolInfo, 'kind' | 'dataTotal' | 'metadataTotal'>;
  readonly devices: readonly ListedDevice[];
  /** A `direct` pool's data file or block device. */
  readonly dataPath?: string | undefined;
  /** By path: of the loop devices, and of `dataPath` where that is a block device. */
  readonly facts: ReadonlyMap<string, BlockFacts>;
}

/**
 * The pool under its data and under its metadata, as lsblk showed Docker's. The thin devices hang on the
 * first of the two; lsblk would repeat them all.
 */
export function blockTree({ prefix, info, devices, dataPath, facts }: LsblkInput): readonly BlockNode[] {
  const thin = devices.map((device): BlockNode => {
    const loop = device.loop === undefined ? undefined : facts.get(device.loop);
    return {
      name: deviceName(prefix, device.name),
      number: loop?.number,
      size: device.size,
      readOnly: loop?.readOnly ?? false,
      type: 'dm',
      mountPoint: device.mountPoint,
      children: [],
    };
  });
  const plain = { number: undefined, readOnly: false, mountPoint: undefined };
  const pool = { ...plain, name: poolName(prefix), size: info.dataTotal, type: 'dm' };
  const disk = dataPath === undefined ? undefined : facts.get(dataPath);
  return [
    {
      ...plain,
      ...disk,
      name: dataPath === undefined ? 'data' : path.basename(dataPath),
      size: info.dataTotal,
      type: disk !== undefined ? 'disk' : info.kind === 'direct' ? 'file' : 'leveldb',
      children: [{ ...pool, children: thin }],
    },
    {
      ...plain,
      name: 'metadata',
      size: info.metadataTotal,
      type: 'leveldb',
      children: [{ ...pool, children: [] }],
    },
  ];
}

/** As `lsblk` prints it, with `-` where the kernel has no number. */
export function lsblkTable(roots: readonly BlockNode[]): string {
  return formatTable(
    [
      { title: 'NAME' },
      { title: 'MAJ:MIN' },
      { title: 'RM', right: true },
      { title: 'SIZE', right: true, minWidth: 5 },
      { title: 'RO', right: true },
      { title: 'TYPE' },
      { title: 'MOUNTPOINT' },
    ],
    drawBranches(roots).map(({ node, branches }) => [
      branches + node.name,
      alignNumber(node.number),
      '0',
      formatBinarySize(node.size),
      node.readOnly ? '1' : '0',
      node.type,
      node.mountPoint ?? '',
    ]),
    1,
  );
}

/** As `lsblk --json --bytes` has it. */
export function lsblkJson(roots: readonly BlockNode[]): Readonly<Record<string, unknown>> {
  return { blockdevices: roots.map(nodeJson) };
}

/** What sysfs says of a block device such as `/dev/loop3`; undefined where there is none. */
export async function blockFacts(device: string, sys = '/sys/class/block'): Promise<BlockFacts | undefined> {
  const folder = path.join(sys, path.basename(device));
  try {
    const [number, readOnly] = await Promise.all(
      ['dev', 'ro'].map((name) => readFile(path.join(folder, name), 'utf8')),
    );
    return { number: number!.trim(), readOnly: readOnly!.trim() === '1' };
  } catch {
    return undefined;
  }
}

function nodeJson(node: BlockNode): Readonly<Record<string, unknown>> {
  return {
    name: node.name,
    'maj:min': node.number ?? null,
    rm: false,
    size: node.size,
    ro: node.readOnly,
    type: node.type,
    mountpoints: [node.mountPoint ?? null],
    ...(node.children.length > 0 ? { children: node.children.map(nodeJson) } : {}),
  };
}

/** lsblk's `%3u:%-3u`. */
function alignNumber(number: string | undefined): string {
  if (number === undefined) return '  -';
  const [major = '', minor = ''] = number.split(':');
  return `${major.padStart(3)}:${minor.padEnd(3)}`;
}

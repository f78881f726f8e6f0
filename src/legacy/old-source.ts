import { ThinError } from '../errors/thin-error.js';
import type { DiskReader } from './disk-reader.js';
import type { DockerDevice } from './docker-graph.js';
import type { LegacyPool } from './legacy-pool.js';
import { devicesCalled, type DeviceRole, type NamedDevice } from './named-devices.js';

/** A pool of dm-thin, opened for reading. */
export interface OldPool {
  /** What it is called in messages: its metadata's path, or GROUP/POOL of LVM. */
  readonly path: string;
  readonly pool: LegacyPool;
  /** Undefined where only metadata was given. */
  readonly data: DiskReader | undefined;
  readonly docker: readonly DockerDevice[];
  readonly devices: readonly NamedDevice[];
  /**
   * External origins by name are known to be all there are: LVM's text or Docker, which has none, says so.
   */
  readonly knowsOrigins: boolean;
}

/** A volume of LVM that is no thin device. */
export interface PlainVolume {
  readonly name: string;
  readonly group: string;
  /** Undefined where it cannot be read at all; `problem` says why. */
  readonly disk: DiskReader | undefined;
  readonly problem: ThinError | undefined;
}

/** What a user named: a folder of Docker's, two files, or disks of LVM. */
export interface OldSource {
  readonly path: string;
  readonly pools: readonly OldPool[];
  readonly volumes: readonly PlainVolume[];
  /** Pools that cannot be opened, and why. */
  readonly broken: readonly { readonly path: string; readonly error: ThinError }[];
}

/** What can be read as a device. */
export type OldDevice = ThinOldDevice | PlainOldDevice;

export interface ThinOldDevice {
  readonly kind: 'thin';
  readonly label: string;
  readonly role: DeviceRole;
  /** The device's id. */
  readonly number: number;
  readonly pool: OldPool;
  readonly named: NamedDevice;
}

interface PlainOldDevice {
  readonly kind: 'plain';
  readonly label: string;
  readonly role: 'plain';
  /** Its place among the ordinary volumes, from 1 on. */
  readonly number: number;
  readonly volume: PlainVolume;
}

/** Thin devices by pool and id, ordinary volumes behind them. */
export function devicesOf({ pools, volumes }: OldSource): readonly OldDevice[] {
  return [
    ...pools.flatMap((pool) => pool.devices.map((named) => thinDevice(pool, named))),
    ...volumes.map((volume, index) => ({
      kind: 'plain' as const,
      label: volume.name,
      role: 'plain' as const,
      number: index + 1,
      volume,
    })),
  ];
}

/**
 * By what `devicesCalled` takes, or an ordinary volume by NAME or GROUP/NAME.
 * Errors: not-found; invalid-argument (it could be several).
 */
export function findDevice(source: OldSource, wanted: string): OldDevice {
  const all = devicesOf(source);
  const thin = devicesCalled(
    source.pools.flatMap(({ devices }) => devices),
    wanted,
  );
  const found = all.filter((one) =>
    one.kind === 'thin'
      ? thin.includes(one.named)
      : one.volume.name === wanted || `${one.volume.group}/${one.volume.name}` === wanted,
  );
  const [first, ...others] = found;
  if (first === undefined)
    throw new ThinError(
      'not-found',
      `the old pool has no device ${wanted}; thinfuse legacy ls shows those that are there${whatIsBroken(source)}`,
      { details: { device: wanted } },
    );
  if (others.length > 0)
    throw new ThinError(
      'invalid-argument',
      `${wanted} could be device ${found.map(exactName).join(' or ')}; give its number, or GROUP/NAME`,
      { details: { device: wanted } },
    );
  return first;
}

function exactName(one: OldDevice): string {
  if (one.kind === 'plain') return `${one.volume.group}/${one.label}`;
  const { volume } = one.named;
  return volume === undefined ? `${one.number}` : `${volume.group}/${volume.name}`;
}

function whatIsBroken({ broken }: OldSource): string {
  return broken.map(({ path, error }) => `; pool ${path} cannot be opened: ${error.message}`).join('');
}

function thinDevice(pool: OldPool, named: NamedDevice): ThinOldDevice {
  return { kind: 'thin', label: named.label, role: named.role, number: named.device.id, pool, named };
}

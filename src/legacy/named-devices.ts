import type { DockerDevice } from './docker-graph.js';
import type { LegacyDevice } from './legacy-pool.js';

/** Characters of a Docker id that find it. */
const MIN_PREFIX = 4;

export type DeviceRole = DockerDevice['role'] | 'image' | 'thin';

/** What LVM knows of a thin device that it made, or thinfuse of one that it exported. */
export interface ThinVolume {
  readonly deviceId: number;
  readonly name: string;
  readonly group: string;
  /** Bytes. */
  readonly size: number;
  /** The volume that it was made as a snapshot of. */
  readonly origin: string | undefined;
  /** The volume whose data it shows where it maps nothing. */
  readonly externalOrigin: string | undefined;
  /** What it is; undefined: unknown. */
  readonly role?: DeviceRole;
}

/** A thin device and what people call it. */
export interface NamedDevice {
  readonly device: LegacyDevice;
  readonly docker: DockerDevice | undefined;
  /** Undefined where LVM's text was not given, or has no such device because LVM left the pool to Docker. */
  readonly volume: ThinVolume | undefined;
  /** 'thin' where Docker knows nothing of it. */
  readonly role: DeviceRole;
  /** The first of its names in Docker, or a short form of its hash; its name in LVM; `thin-ID`. */
  readonly label: string;
}

export function nameDevices(
  devices: readonly LegacyDevice[],
  docker: readonly DockerDevice[],
  volumes: readonly ThinVolume[] = [],
): readonly NamedDevice[] {
  const volumeOf = new Map(volumes.map((volume) => [volume.deviceId, volume]));
  return devices.map((device) => {
    const known = claimOf(device, docker);
    const volume = volumeOf.get(device.id);
    return {
      device,
      docker: known,
      volume,
      role: known?.role ?? volume?.role ?? 'thin',
      label: known === undefined ? (volume?.name ?? `thin-${device.id}`) : labelOf(known),
    };
  });
}

/**
 * Where two of Docker's files claim one device, the one that was written with it; neither where that does not
 * tell.
 */
function claimOf({ id, details }: LegacyDevice, docker: readonly DockerDevice[]): DockerDevice | undefined {
  const claims = docker.filter((known) => known.id === id);
  if (claims.length <= 1) return claims[0];
  const at = details?.transactionId;
  if (at === undefined) return undefined;
  // Docker writes the transaction that its device will close, and the kernel the one before it.
  for (const transaction of [at + 1n, at]) {
    const [its, ...others] = claims.filter(
      ({ transactionId }) => transactionId !== undefined && BigInt(transactionId) === transaction,
    );
    if (its !== undefined) return others.length > 0 ? undefined : its;
  }
  return undefined;
}

/** Docker's records for which the pool has no device: its files and its pool have drifted apart. */
export function missingDevices(
  devices: readonly LegacyDevice[],
  docker: readonly DockerDevice[],
): readonly DockerDevice[] {
  const ids = new Set(devices.map(({ id }) => id));
  return docker.filter(({ id }) => id === undefined || !ids.has(id));
}

/**
 * By device id, image reference, container name or id, LVM's name, hash, or the beginning of Docker's ids and
 * names. Several where it could be.
 */
export function devicesCalled(all: readonly NamedDevice[], wanted: string): readonly NamedDevice[] {
  const matches = [byNumber, byName, byPrefix].map((by) => all.filter((one) => by(one, wanted)));
  return matches.find((some) => some.length > 0) ?? [];
}

function byNumber({ device }: NamedDevice, wanted: string): boolean {
  return String(device.id) === wanted;
}

function byName({ docker, label, volume }: NamedDevice, wanted: string): boolean {
  if (volume !== undefined && (volume.name === wanted || `${volume.group}/${volume.name}` === wanted))
    return true;
  return label === wanted || docker?.hash === wanted || (docker?.names.includes(wanted) ?? false);
}

function byPrefix({ docker }: NamedDevice, wanted: string): boolean {
  if (wanted.length < MIN_PREFIX || docker === undefined) return false;
  return [docker.hash, ...docker.names].some((name) => name.startsWith(wanted));
}

/** Hashes are shown as docker shows ids. */
function labelOf({ names, hash }: DockerDevice): string {
  return names[0] ?? hash.replace(/^([0-9a-f]{12})[0-9a-f]{52}(?=$|-init$)/, '$1');
}

/**
 * A name for each device in a new pool: what people call it, with what device names cannot hold replaced, and
 * with a number behind it where two would be the same or the pool has one of that name.
 */
export function importNames<
  T extends { readonly label: string; readonly role: DeviceRole | 'plain'; readonly number: number },
>(
  devices: readonly T[],
  options: { readonly prefix?: string | undefined; readonly taken: ReadonlySet<string> },
): ReadonlyMap<T, string> {
  const used = new Set(options.taken);
  const names = new Map<T, string>();
  for (const one of devices) {
    const plain = `${options.prefix ?? ''}${one.role === 'base' ? 'docker-base' : one.label}`.replace(
      /[^A-Za-z0-9_.:+@-]/g,
      '_',
    );
    const name = used.has(plain) ? `${plain}-${one.number}` : plain;
    used.add(name);
    names.set(one, name);
  }
  return names;
}

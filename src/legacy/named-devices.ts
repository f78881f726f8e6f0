import { ThinError } from '../errors/thin-error.js';
import type { DockerDevice } from './docker-graph.js';
import type { LegacyDevice } from './legacy-pool.js';

/** Characters of a Docker id that find it. */
const MIN_PREFIX = 4;

export type DeviceRole = DockerDevice['role'] | 'thin';

/** A thin device and what people call it. */
export interface NamedDevice {
  readonly device: LegacyDevice;
  readonly docker: DockerDevice | undefined;
  /** 'thin' where Docker knows nothing of it. */
  readonly role: DeviceRole;
  /** The first of its names, or a short form of its hash, or `thin-ID`. */
  readonly label: string;
}

export function nameDevices(
  devices: readonly LegacyDevice[],
  docker: readonly DockerDevice[],
): readonly NamedDevice[] {
  const byId = new Map(docker.filter(({ id }) => id !== undefined).map((known) => [known.id, known]));
  return devices.map((device) => {
    const known = byId.get(device.id);
    return {
      device,
      docker: known,
      role: known?.role ?? 'thin',
      label: known === undefined ? `thin-${device.id}` : labelOf(known),
    };
  });
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
 * By device id, image reference, container name or id, hash, or the beginning of either of the latter.
 * Errors: not-found; invalid-argument (it could be several).
 */
export function findDevice(all: readonly NamedDevice[], wanted: string): NamedDevice {
  const matches = [byNumber, byName, byPrefix].map((by) => all.filter((one) => by(one, wanted)));
  const [found, ...others] = matches.find((some) => some.length > 0) ?? [];
  if (found === undefined)
    throw new ThinError(
      'not-found',
      `the old pool has no device ${wanted}; thinfuse legacy ls shows those that are there`,
      { details: { device: wanted } },
    );
  if (others.length > 0)
    throw new ThinError(
      'invalid-argument',
      `${wanted} could be device ${[found, ...others].map(({ device }) => String(device.id)).join(' or ')}; give its number`,
      { details: { device: wanted } },
    );
  return found;
}

function byNumber({ device }: NamedDevice, wanted: string): boolean {
  return String(device.id) === wanted;
}

function byName({ docker, label }: NamedDevice, wanted: string): boolean {
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
 * A name for each device in a new pool: what people call it, with what device names cannot hold replaced, and with its number
 * behind it where two would be the same or the pool has one of that name.
 */
export function importNames(
  devices: readonly NamedDevice[],
  options: { readonly prefix?: string | undefined; readonly taken: ReadonlySet<string> },
): ReadonlyMap<number, string> {
  const used = new Set(options.taken);
  const names = new Map<number, string>();
  for (const { device, label, role } of devices) {
    const plain = `${options.prefix ?? ''}${role === 'base' ? 'docker-base' : label}`.replace(
      /[^A-Za-z0-9_.:+@-]/g,
      '_',
    );
    const name = used.has(plain) ? `${plain}-${device.id}` : plain;
    used.add(name);
    names.set(device.id, name);
  }
  return names;
}

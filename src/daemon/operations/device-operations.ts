import { ThinError } from '../../errors/thin-error.js';
import { BASE_NAME, parseDeviceName } from '../../format/device-name.js';
import type { DeviceName } from '../../format/ids.js';
import type { DeviceInfo, DeviceKind } from '../../pool/info.js';
import type { Handlers } from '../dispatcher.js';
import { deviceStatus, requireDevice, requireLive, type Service } from '../service.js';

type DeviceOperation =
  | 'device.list'
  | 'device.get'
  | 'device.create'
  | 'device.createThin'
  | 'device.seal'
  | 'device.rename'
  | 'device.grow'
  | 'device.quota'
  | 'device.remove';

/** Lifecycle of devices; works on an open pool alone. */
export function deviceOperations(service: Service): Pick<Handlers, DeviceOperation> {
  const { pool, locks, projection, serving } = service;

  /** Runs a change of devices and brings the projection up to it. */
  async function changing<T>(names: readonly DeviceName[], change: () => Promise<T>): Promise<T> {
    return locks.run(names, async () => {
      try {
        return await change();
      } finally {
        await projection.refresh();
      }
    });
  }

  /** A mounted origin is frozen, so that its snapshot holds a filesystem that was at rest. */
  async function frozen<T>(origin: DeviceName, work: () => Promise<T>): Promise<T> {
    const image = serving?.active.pathOf(origin);
    return serving === undefined || image === undefined ? work() : serving.host.frozen(image, work);
  }

  return {
    'device.list': () => Promise.resolve(pool.devices().map((device) => deviceStatus(service, device))),

    'device.get': ({ name }) =>
      Promise.resolve(deviceStatus(service, requireDevice(service, existing(name)))),

    'device.create': async (input) => {
      const name = parseDeviceName(input.name);
      const origin = existing(input.origin ?? BASE_NAME);
      return changing([name, origin], async () => {
        const { size, kind, quota } = input;
        requireOrigin(requireLive(service, origin), kind);
        const device = await frozen(origin, () => pool.createSnapshot({ name, origin, kind, size, quota }));
        return deviceStatus(service, device);
      });
    },

    'device.createThin': async (input) => {
      const name = parseDeviceName(input.name);
      return changing([name], async () => deviceStatus(service, await pool.createThin({ ...input, name })));
    },

    'device.seal': async (input) => {
      const name = existing(input.name);
      return changing([name], async () => {
        const device = requireLive(service, name);
        refuseBase(device, 'becomes no image');
        refuseLabelled(device, 'made an image');
        refuseMounted(service, name, 'made an image');
        return deviceStatus(service, await pool.update(name, { kind: 'image' }));
      });
    },

    'device.rename': async (input) => {
      const name = existing(input.name);
      const to = parseDeviceName(input.to);
      return changing([name, to], async () => {
        refuseBase(requireLive(service, name), 'keeps its name');
        refuseMounted(service, name, 'renamed');
        refuseActive(service, name, 'renamed');
        return deviceStatus(service, await pool.rename(name, to));
      });
    },

    'device.grow': async (input) => {
      const name = existing(input.name);
      return changing([name], async () => {
        requireLive(service, name);
        const device = await pool.grow(name, input.size);
        await serving?.mounts.follow(device);
        return deviceStatus(service, requireDevice(service, name));
      });
    },

    'device.quota': async (input) => {
      const name = existing(input.name);
      return changing([name], async () => {
        refuseBase(requireLive(service, name), 'has no quota');
        return deviceStatus(service, await pool.update(name, { quota: input.quota }));
      });
    },

    'device.remove': async (input) => {
      const name = existing(input.name);
      return changing([name], async () => {
        const device = requireDevice(service, name);
        refuseBase(device, 'cannot be removed');
        if (input.force !== true) refuseLabelled(device, 'removed without --force');
        if (input.force === true && serving !== undefined) {
          if (serving.mounts.of(name) !== undefined) await serving.mounts.unmount(name, { lazily: true });
          await serving.active.abandon(name);
        } else if (await serving?.deferred.putOff(device)) return { deferred: true };
        refuseMounted(service, name, 'removed');
        refuseActive(service, name, 'removed');
        await pool.remove(name);
        return { deferred: false };
      });
    },
  };
}

function existing(name: string): DeviceName {
  return parseDeviceName(name, { allowBase: true });
}

/** A container starts from an image; whatever else wants a copy of a device is a snapshot. */
function requireOrigin(origin: DeviceInfo, kind: DeviceKind): void {
  if (kind === 'container' && origin.kind !== 'image')
    throw new ThinError(
      'invalid-argument',
      `a container starts from an image, and ${origin.name} is ${withArticle(origin.kind)}; take a snapshot of it (thinfuse snapshot NEW ${origin.name}) or commit it first`,
      { details: { device: origin.name } },
    );
  if (origin.kind === 'base' && !origin.initialized)
    throw new ThinError(
      'damaged',
      'the base device has no filesystem, because its making was cut off; remove the root and run thinfuse init again',
    );
}

export function withArticle(kind: DeviceKind): string {
  if (kind === 'base') return 'the base device';
  return kind === 'image' ? 'an image' : `a ${kind}`;
}

function refuseBase(device: DeviceInfo, what: string): void {
  if (device.kind === 'base')
    throw new ThinError('invalid-argument', `the base device belongs to the pool and ${what}`, {
      details: { device: device.name },
    });
}

/** Whoever keeps something in a device's label counts on the device. */
function refuseLabelled({ name, label }: DeviceInfo, what: string): void {
  if (label !== '')
    throw new ThinError(
      'busy',
      `device ${name} belongs to a program that uses the pool (its label begins ${JSON.stringify(label.slice(0, 40))}) and cannot be ${what}; remove it there, as with: ctr snapshots rm, docker volume rm`,
      { details: { device: name } },
    );
}

function refuseMounted({ serving }: Service, name: DeviceName, what: string): void {
  const mounted = serving?.mounts.of(name);
  if (mounted !== undefined)
    throw new ThinError(
      'busy',
      `device ${name} is mounted on ${mounted.target} and cannot be ${what}; unmount it first with: thinfuse umount ${name}`,
      { details: { device: name, target: mounted.target } },
    );
}

function refuseActive({ serving }: Service, name: DeviceName, what: string): void {
  const image = serving?.active.pathOf(name);
  if (image !== undefined)
    throw new ThinError(
      'busy',
      `device ${name} is active as ${image} and cannot be ${what}; let go of it first with: thinfuse deactivate ${name}`,
      { details: { device: name, path: image } },
    );
}

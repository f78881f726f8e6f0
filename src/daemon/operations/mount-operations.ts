import { ThinError } from '../../errors/thin-error.js';
import { BASE_NAME, parseDeviceName } from '../../format/device-name.js';
import type { DeviceName } from '../../format/ids.js';
import type { Handlers } from '../dispatcher.js';
import { mountTarget } from '../../host/own-paths.js';
import { deviceStatus, requireDevice, requireLive, requireServing, type Service } from '../service.js';

type MountOperation =
  'base.format' | 'activate' | 'deactivate' | 'mount' | 'umount' | 'trim' | 'view.open' | 'view.close';

/** What needs the FUSE directory, so that only a daemon does it. */
export function mountOperations(service: Service): Pick<Handlers, MountOperation> {
  const { pool, locks, projection } = service;

  return {
    'base.format': async () => {
      const { active, host } = requireServing(service, 'formatting the base device');
      return locks.run([BASE_NAME], async () => {
        const base = requireDevice(service, BASE_NAME);
        if (base.initialized) throw new ThinError('exists', 'the base device has its filesystem already');
        const { path: image } = await active.activate(BASE_NAME);
        try {
          const { uuid } = await host.format(image, base.filesystem, {
            extraArgs: pool.info().options.mkfsArgs,
          });
          await pool.update(BASE_NAME, { initialized: true, filesystemSize: base.size, baseUuid: uuid });
        } finally {
          await active.deactivate(BASE_NAME);
        }
        const done = requireDevice(service, BASE_NAME);
        await projection.refresh();
        return deviceStatus(service, done);
      });
    },

    activate: async (input) => {
      const { active } = requireServing(service, 'activate');
      const name = existing(input.name);
      return locks.run([name], async () => {
        requireLive(service, name, input.maker);
        return { path: (await active.activate(name)).path };
      });
    },

    deactivate: async (input) => {
      const { active, mounts, deferred } = requireServing(service, 'deactivate');
      const name = existing(input.name);
      return locks.run([name], async () => {
        requireDevice(service, name);
        const mounted = mounts.of(name);
        if (mounted !== undefined)
          throw new ThinError(
            'busy',
            `device ${name} is mounted on ${mounted.target}; unmount it first with: thinfuse umount ${name}`,
            { details: { device: name, target: mounted.target } },
          );
        const gone = await active.deactivate(name, { deferred: pool.info().options.deferredRemoval });
        await deferred.finish(name);
        return { deferred: !gone };
      });
    },

    mount: async (input) => {
      const { mounts } = requireServing(service, 'mount');
      const name = existing(input.name);
      const target = input.target === undefined ? undefined : await mountTarget(service.layout, input.target);
      return locks.run([name], async () => {
        const device = requireLive(service, name, input.maker);
        if (input.readOnly !== true && pool.info().mode === 'ro')
          throw new ThinError(
            'read-only',
            `the pool is read-only, so that ${name} can only be read: mount it with --ro, and see thinfuse check for why`,
            { details: { device: name } },
          );
        const mounted = await mounts.mount(device, { target, readOnly: input.readOnly });
        return { path: mounted.target, loop: mounted.loop, lacks: mounted.lacks };
      });
    },

    umount: async (input) => {
      const { mounts, deferred } = requireServing(service, 'umount');
      const name = existing(input.name);
      return locks.run([name], async () => {
        requireDevice(service, name);
        await mounts.unmount(name);
        await deferred.finish(name);
        return {};
      });
    },

    trim: async (input) => {
      const { mounts, host, transport } = requireServing(service, 'trim');
      const name = existing(input.name);
      return locks.run([name], async () => {
        const { mapped } = requireDevice(service, name);
        const mounted = mounts.of(name);
        if (mounted === undefined)
          throw new ThinError(
            'not-found',
            `device ${name} is not mounted, and only a mounted filesystem knows what it has deleted; mount it first with: thinfuse mount ${name}`,
            { details: { device: name } },
          );
        if (mounted.readOnly)
          throw new ThinError(
            'read-only',
            `device ${name} is mounted read-only, so nothing in it was deleted`,
            {
              details: { device: name },
            },
          );
        // Some kernels' loop devices, and filesystems on them, call a discard done that libfuse has refused.
        if (transport === 'fuse-native')
          throw new ThinError(
            'unsupported',
            'the transport fuse-native carries no discards, so that free space stays in the pool; the kernel transport does: thinfuse start --transport kernel',
            { details: { device: name } },
          );
        const trimmed = await host.trim(mounted.target);
        await pool.commit();
        return { name, trimmed, freed: Math.max(0, mapped - requireDevice(service, name).mapped) };
      });
    },

    'view.open': async (input) => {
      const { mounts } = requireServing(service, 'reading a device');
      const name = existing(input.name);
      return locks.run([name], async () => {
        const device = requireLive(service, name, input.maker);
        const { target, lacks } = await mounts.openView(device, input.holder);
        return { path: target, lacks };
      });
    },

    'view.close': async (input) => {
      const { mounts, deferred } = requireServing(service, 'reading a device');
      const name = existing(input.name);
      return locks.run([name], async () => {
        await mounts.closeView(name, input.holder);
        await deferred.finish(name);
        return {};
      });
    },
  };
}

function existing(name: string): DeviceName {
  return parseDeviceName(name, { allowBase: true });
}

import type { DeviceAccess } from '../../service/device-access.js';
import type { Handlers } from '../dispatcher.js';
import { requireServing, type Service } from '../service.js';

type MountOperation =
  'base.format' | 'activate' | 'deactivate' | 'mount' | 'umount' | 'trim' | 'view.open' | 'view.close';

/** What needs the FUSE directory, so that only a daemon does it. */
export function mountOperations(service: Service): Pick<Handlers, MountOperation> {
  const access = (what: string): DeviceAccess => requireServing(service, what).served.access;
  return {
    'base.format': async () => access('formatting the base device').formatBase(),
    activate: async ({ name, ...asker }) => {
      return access('activate').activate(name, asker);
    },
    deactivate: async ({ name }) => access('deactivate').deactivate(name),
    mount: async ({ name, ...ask }) => {
      const { target, loop, lacks } = await access('mount').mount(name, ask);
      return { path: target, loop, lacks };
    },
    umount: async ({ name }) => {
      await access('umount').umount(name);
      return {};
    },
    trim: async ({ name }) => access('trim').trim(name),
    'view.open': async ({ name, holder, ...asker }) => {
      const { target, lacks } = await access('reading a device').openView(name, holder, asker);
      return { path: target, lacks };
    },
    'view.close': async ({ name, holder }) => {
      await access('reading a device').closeView(name, holder);
      return {};
    },
  };
}

import type { Handlers } from '../dispatcher.js';
import type { Service } from '../service.js';

type DeviceOperation =
  | 'device.list'
  | 'device.get'
  | 'device.exclusive'
  | 'device.create'
  | 'device.clone'
  | 'device.createThin'
  | 'device.seal'
  | 'device.finish'
  | 'device.rename'
  | 'device.anchor'
  | 'device.attach'
  | 'device.hydrate'
  | 'device.reads'
  | 'device.rollback'
  | 'device.grow'
  | 'device.quota'
  | 'device.limit'
  | 'device.automount'
  | 'device.labels'
  | 'device.remove';

/** Lifecycle of devices; works on an open pool alone. */
export function deviceOperations({ devices, properties, serving }: Service): Pick<Handlers, DeviceOperation> {
  return {
    'device.list': () => devices.list(),
    'device.get': async ({ name }) => Promise.resolve(devices.get(name)),
    'device.exclusive': async ({ names }) => ({ bytes: await devices.jointExclusive(names) }),
    'device.create': (request) => devices.create(request),
    'device.clone': ({ origin, names }) => devices.clone(origin, names),
    'device.createThin': (request) => devices.createThin(request),
    'device.seal': ({ name, maker }) => devices.seal(name, maker),
    'device.finish': ({ name, maker }) => devices.finish(name, maker),
    'device.rename': ({ name, to, ...how }) => devices.rename(name, to, how),
    'device.anchor': ({ name, ...how }) => devices.anchor(name, how),
    'device.attach': ({ name, ...how }) => devices.attach(name, how),
    'device.hydrate': ({ name, wait }) => {
      const until = serving?.whileOpen ?? ((done: Promise<void>): Promise<void> => done);
      return devices.hydrate(name, wait === true ? until : undefined);
    },
    'device.reads': async ({ name, maker }) => Promise.resolve(devices.reads(name, maker)),
    'device.rollback': ({ name, to }) => devices.rollback(name, to),
    'device.grow': ({ name, size }) => devices.grow(name, size),
    'device.quota': ({ name, quota }) => devices.setQuota(name, quota),
    'device.limit': ({ name, limit }) => devices.setLimit(name, limit),
    'device.automount': ({ name, automount }) => properties.setAutomount(name, automount ?? undefined),
    'device.labels': ({ name, labels, maker }) => properties.setLabels(name, labels, maker),
    'device.remove': ({ name, force }) => devices.remove(name, { force: force ?? false }),
  };
}

import { ThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo, PoolInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { TransportKind } from '../fuse/transport.js';
import type { ActiveDevices } from './active-devices.js';
import type { DeviceStatus } from './api.js';
import type { DoctorTools } from './doctor/doctor.js';
import type { DeviceHost } from './device-host.js';
import type { DeviceLocks } from './device-locks.js';
import type { DeferredDeletion } from './deferred-deletion.js';
import type { DeviceMounts } from './device-mounts.js';
import type { Metrics } from './metrics.js';
import type { ProjectionWriter } from './projection-writer.js';
import type { RootLayout } from './root-layout.js';

/** What only a daemon has: the FUSE directory, mounts, and an end. */
export interface Serving {
  readonly active: ActiveDevices;
  readonly mounts: DeviceMounts;
  readonly host: DeviceHost;
  readonly deferred: DeferredDeletion;
  readonly metrics: Metrics;
  readonly transport: TransportKind;
  /** Unix time, milliseconds. */
  readonly startedAt: number;
  /** See the operation `stop`; resolves when nothing is mounted, and the daemon goes down after that. */
  readonly stop: (options: { force: boolean }) => Promise<void>;
  /** See the operation `restart`; resolves when the next daemon may begin, and this one ends after that. */
  readonly restart: () => Promise<void>;
}

/** What the operations work on. */
export interface Service {
  readonly layout: RootLayout;
  readonly pool: ThinPool;
  /** The pool as dm would name it. */
  readonly poolName: string;
  /** dm-thin's own status line. */
  readonly statusLine: (info: PoolInfo) => string;
  readonly locks: DeviceLocks;
  readonly projection: ProjectionWriter;
  readonly doctor: DoctorTools;
  /** Undefined where a command opened the pool itself. */
  readonly serving: Serving | undefined;
}

/** @throws ThinError not-running where this process serves no devices. */
export function requireServing(service: Service, what: string): Serving {
  if (service.serving !== undefined) return service.serving;
  throw new ThinError(
    'not-running',
    `${what} needs the daemon of ${service.layout.root}, which is not running; start it with: thinfuse start`,
  );
}

/** @throws ThinError not-found */
export function requireDevice(service: Service, name: DeviceName): DeviceInfo {
  const device = service.pool.device(name);
  if (device !== undefined) return device;
  throw new ThinError(
    'not-found',
    `no device ${name} in the pool of ${service.layout.root}; thinfuse ls shows those that are there`,
    { details: { device: name } },
  );
}

/** A device that can be used for something new. @throws ThinError not-found; busy, where it is marked deleted */
export function requireLive(service: Service, name: DeviceName): DeviceInfo {
  const device = requireDevice(service, name);
  if (!device.deleted) return device;
  throw new ThinError(
    'busy',
    `device ${name} is marked deleted and goes with its last user; thinfuse doctor shows who that is`,
    { details: { device: name } },
  );
}

export function deviceStatus(service: Service, device: DeviceInfo): DeviceStatus {
  const mounted = service.serving?.mounts.of(device.name);
  return {
    ...device,
    path: service.serving?.active.pathOf(device.name),
    loop: mounted?.loop,
    mountPoint: mounted?.target,
  };
}

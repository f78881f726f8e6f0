import { ThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo, PoolInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { TransportKind } from '../fuse/transport.js';
import type { ActiveDevices } from '../service/active-devices.js';
import type { DoctorTools } from './doctor/doctor.js';
import type { DeviceHost } from '../service/device-host.js';
import type { DeviceChanges } from '../service/device-changes.js';
import type { DeviceLocks } from '../service/device-locks.js';
import type { Devices, DeviceStatus } from '../service/devices.js';
import type { ProjectionWriter } from '../service/projection-writer.js';
import type { DeferredDeletion } from '../service/deferred-deletion.js';
import type { DeviceMounts } from '../service/device-mounts.js';
import type { Metrics } from './metrics.js';
import type { RootLayout } from '../config/root-layout.js';

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
  readonly changes: DeviceChanges;
  readonly devices: Devices;
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
  return service.devices.require(name);
}

/** As `Devices.requireLive`. */
export function requireLive(service: Service, name: DeviceName, maker?: string): DeviceInfo {
  return service.devices.requireLive(name, maker);
}

export function deviceStatus(service: Service, device: DeviceInfo): DeviceStatus {
  return service.devices.get(device.name);
}

import type { Logger } from 'pino';
import type { RootLayout } from '../config/root-layout.js';
import type { DeviceName } from '../format/ids.js';
import type { ThinPool } from '../pool/thin-pool.js';
import { ActiveDevices } from './active-devices.js';
import { Automounts } from './automounts.js';
import { DeferredDeletion } from './deferred-deletion.js';
import { DeviceAccess } from './device-access.js';
import { DeviceChanges } from './device-changes.js';
import { DeviceDirectory } from './device-directory.js';
import type { DeviceHost } from './device-host.js';
import { DeviceProperties } from './device-properties.js';
import { DeviceLocks } from './device-locks.js';
import { DeviceMounts, type MountChange } from './device-mounts.js';
import { Unused } from './device-use.js';
import { Devices } from './devices.js';
import type { ProjectionWriter } from './projection-writer.js';
import { ReplayedViews } from './replayed-views.js';
import { ServedDevices } from './served-devices.js';
import type { Makers } from './unfinished-devices.js';

/** An open pool and what is done with its devices. */
export interface PoolService {
  readonly layout: RootLayout;
  readonly pool: ThinPool;
  readonly projection: ProjectionWriter;
  readonly locks: DeviceLocks;
  readonly changes: DeviceChanges;
  readonly devices: Devices;
  readonly properties: DeviceProperties;
}

export interface PoolServiceParts {
  readonly layout: RootLayout;
  readonly pool: ThinPool;
  readonly projection: ProjectionWriter;
  readonly makers: Makers;
}

/** In a process that serves no devices. */
export function unservedPool({ layout, pool, projection, makers }: PoolServiceParts): PoolService {
  const locks = new DeviceLocks();
  const changes = new DeviceChanges(locks, projection);
  const devices = new Devices({ root: layout.root, pool, changes, use: new Unused(), makers });
  const properties = new DeviceProperties({ layout, pool, changes, devices });
  return { layout, pool, projection, locks, changes, devices, properties };
}

export interface ServedPoolParts extends PoolServiceParts {
  readonly host: DeviceHost;
  /** The name of a device's image file. */
  readonly fileNameOf: (name: DeviceName) => string;
  /** Whether the transport hands on what a filesystem discards. */
  readonly carriesDiscards: () => boolean;
  readonly log: Logger;
  /** Something is active, mounted or about to be that was not, or the other way round. */
  readonly onChanged: (change: MountChange | readonly ['active', DeviceName, true | null]) => void;
}

/** In a process that serves the devices: they are image files, mounts and views on this host. */
export class ServedPool implements PoolService {
  readonly layout: RootLayout;
  readonly pool: ThinPool;
  readonly projection: ProjectionWriter;
  readonly host: DeviceHost;
  readonly carriesDiscards: () => boolean;
  readonly locks = new DeviceLocks();
  readonly changes: DeviceChanges;
  /** What the transport shows. */
  readonly directory: DeviceDirectory;
  readonly active: ActiveDevices;
  readonly views: ReplayedViews;
  readonly mounts: DeviceMounts;
  readonly deferred: DeferredDeletion;
  readonly devices: Devices;
  readonly properties: DeviceProperties;
  readonly access: DeviceAccess;
  readonly automounts: Automounts;

  constructor(parts: ServedPoolParts) {
    const { layout, pool, projection, host, log, onChanged, makers } = parts;
    this.layout = layout;
    this.pool = pool;
    this.projection = projection;
    this.host = host;
    this.carriesDiscards = parts.carriesDiscards;
    this.changes = new DeviceChanges(this.locks, projection);
    this.directory = new DeviceDirectory(layout.devices, parts.fileNameOf, pool, (name) => this.#idle(name));
    this.active = new ActiveDevices(pool, this.directory, (name, isActive) =>
      onChanged(['active', name, isActive ? true : null]),
    );
    const { locks, active } = this;
    this.views = new ReplayedViews({
      pool,
      active,
      host,
      onWarning: (text) => log.warn({ event: 'view' }, text),
      onChanged: () => projection.refresh(),
    });
    this.mounts = new DeviceMounts({
      pool,
      active,
      host,
      views: this.views,
      folder: layout.mounts,
      openFolder: layout.openMounts,
      onChanged,
    });
    this.deferred = new DeferredDeletion({ pool, locks, active, mounts: this.mounts, projection, log });
    const use = new ServedDevices(this);
    this.devices = new Devices({ root: layout.root, pool, changes: this.changes, use, makers });
    this.properties = new DeviceProperties(this);
    this.access = new DeviceAccess(this);
    this.automounts = new Automounts({ pool, access: this.access, log });
  }

  /** The last user closed the device's image file. */
  #idle(name: DeviceName): void {
    this.deferred.idle(name);
    void this.views.idle(name);
  }
}

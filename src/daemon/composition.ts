import { destination, pino, type Logger } from 'pino';
import type { StorageOptions } from '../config/storage-options.js';
import { dmStatusLine } from '../docker/dm-status.js';
import { deviceName, devicePrefix, poolName } from '../docker/prefix.js';
import { MetadataProjection } from '../docker/projection.js';
import { ThinError } from '../errors/thin-error.js';
import { FuseNativeTransport } from '../fuse/fuse-native-transport.js';
import type { ImageDirectory } from '../io/image-file.js';
import { KernelTransport } from '../fuse/kernel-transport.js';
import type { Transport, TransportKind } from '../fuse/transport.js';
import { ChildProcessExec } from '../host/exec.js';
import { FilesystemTools } from '../host/filesystem-tools.js';
import { LoopDevices } from '../host/loop-devices.js';
import { Mounter } from '../host/mounter.js';
import { StaleCleaner } from '../host/stale.js';
import { createPool } from '../pool/create-pool.js';
import type { FilesystemType } from '../pool/info.js';
import { openPool } from '../pool/pool.js';
import type { CreatePoolRequest, PoolEvents, ThinPool } from '../pool/thin-pool.js';
import { openLevelStore } from '../store/level-store.js';
import type { Caller } from './api.js';
import { applySettings } from './apply-settings.js';
import type { DaemonParts } from './daemon.js';
import { DeviceLocks } from './device-locks.js';
import { Dispatcher } from './dispatcher.js';
import { KernelHost } from './kernel-host.js';
import { createHandlers } from './operations/handlers.js';
import { textOperations } from './operations/text-operations.js';
import { requirePool } from './pool-folder.js';
import { ProjectionWriter } from './projection-writer.js';
import type { RootLayout } from './root-layout.js';

/** Everything real that a daemon runs on. Errors: no-pool. */
export async function daemonParts(
  layout: RootLayout,
  settings: StorageOptions,
  transport: TransportKind,
): Promise<DaemonParts> {
  requirePool(layout);
  // Synchronous, so that a last line before the end is not lost.
  const output = destination({ fd: process.stdout.fd, sync: true });
  // A full disk or a reader that left costs lines, not the pool.
  output.on('error', () => undefined);
  const log = pino(output);
  const prefix = await devicePrefix(layout.root);
  const exec = new ChildProcessExec();
  const loops = new LoopDevices(exec);
  const stale = new StaleCleaner(exec, loops);
  const query = { devices: layout.devices, imagePrefix: `${prefix}-` };
  return {
    layout,
    poolName: poolName(prefix),
    statusLine: dmStatusLine,
    fileNameOf: (name) => deviceName(prefix, name),
    openPool: () =>
      openPoolIn(layout, {
        onModeChanged: (mode, reason) =>
          log.warn({ event: 'mode', mode }, `the pool is now ${mode}: ${reason}`),
      }),
    projection: (pool) => projectionOf(layout, pool, log),
    transport: (directory) => transportOf(transport, layout.devices, directory, log),
    host: new KernelHost({
      mounter: new Mounter(exec, loops, new FilesystemTools(exec)),
      stale,
      query,
      onWarning: (text) => log.warn({ event: 'host' }, text),
    }),
    clearStale: async () => {
      const { done, left } = await stale.clear(query);
      if (left.length > 0)
        throw new ThinError(
          'busy',
          `an earlier daemon of ${layout.root} left things that cannot be cleared: ${left.join('; ')}; end what uses them, then start again`,
        );
      return done;
    },
    configure: (pool) => applySettings(pool, settings),
    log,
  };
}

/** A pool that this process opened for itself, with the same operations as a daemon has, except those that need devices. */
export interface OfflinePool {
  readonly caller: Caller;
  close(): Promise<void>;
}

/** Errors: no-pool, locked (a daemon or another command has it), damaged. */
export async function openOffline(
  layout: RootLayout,
  onWarning: (text: string) => void,
): Promise<OfflinePool> {
  requirePool(layout);
  const pool = await openPoolIn(layout);
  const prefix = await devicePrefix(layout.root);
  const files = new MetadataProjection(layout.metadata);
  const projection = new ProjectionWriter(
    pool,
    (from) => files.write(from),
    (error) => onWarning(`the files in ${layout.metadata} are behind the pool: ${String(error)}`),
  );
  const dispatcher = new Dispatcher(
    createHandlers({
      layout,
      pool,
      poolName: poolName(prefix),
      statusLine: dmStatusLine,
      locks: new DeviceLocks(),
      projection,
      serving: undefined,
    }),
    textOperations(() => pool.tools.freeze()),
  );
  return {
    caller: dispatcher,
    close: async () => {
      await dispatcher.close();
      await pool.close();
    },
  };
}

/** Makes an empty pool in the root's folder, which is there and empty. Errors: as `createPool` and the store. */
export async function createPoolIn(layout: RootLayout, request: CreatePoolRequest): Promise<void> {
  const store = await openLevelStore(layout.pool, { createIfMissing: true, errorIfExists: true });
  try {
    await createPool(store, request);
  } finally {
    await store.close();
  }
}

/** Before anything is made. Errors: missing-tool, missing-device. */
export async function requireHost(filesystem: FilesystemType): Promise<void> {
  await new FilesystemTools(new ChildProcessExec()).requireTools(filesystem);
}

function transportOf(kind: TransportKind, folder: string, directory: ImageDirectory, log: Logger): Transport {
  const onFault = (error: ThinError): void => log.error({ event: 'fault', err: error }, error.message);
  switch (kind) {
    case 'fuse-native':
      return new FuseNativeTransport(folder, directory, { onFault });
    case 'kernel':
      return new KernelTransport(folder, directory, { onFault });
  }
}

async function openPoolIn(layout: RootLayout, events: PoolEvents = {}): Promise<ThinPool> {
  const store = await openLevelStore(layout.pool);
  try {
    return await openPool(store, { events });
  } catch (error) {
    await store.close();
    throw error;
  }
}

function projectionOf(layout: RootLayout, pool: ThinPool, log: Logger): ProjectionWriter {
  const files = new MetadataProjection(layout.metadata);
  return new ProjectionWriter(
    pool,
    (from) => files.write(from),
    (error) => log.error({ event: 'projection', err: error }, `${layout.metadata} is behind the pool`),
  );
}

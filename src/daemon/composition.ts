import { symlink, type FileHandle } from 'node:fs/promises';
import { destination, multistream, pino, type DestinationStream, type Logger } from 'pino';
import type { StorageOptions } from '../config/storage-options.js';
import { dmStatusLine } from '../docker/dm-status.js';
import { deviceName, devicePrefix, poolName } from '../docker/prefix.js';
import { MetadataProjection } from '../docker/projection.js';
import { projectionDrift } from '../docker/projection-drift.js';
import { ThinError } from '../errors/thin-error.js';
import type { ConnectionChange, KeptConnection } from '../fuse/connection.js';
import { FuseNativeTransport } from '../fuse/fuse-native-transport.js';
import type { ImageDirectory } from '../io/image-file.js';
import { KernelTransport } from '../fuse/kernel-transport.js';
import type { Transport, TransportKind } from '../fuse/transport.js';
import { ChildProcessExec, type Exec } from '../host/exec.js';
import { waitForOthers } from '../host/file-users.js';
import { FILESYSTEM_LIMITS, FilesystemTools } from '../host/filesystem-tools.js';
import { SpaceFolder } from '../host/space-folder.js';
import { FolderDisk, freeAt } from '../host/folder-disk.js';
import { HolePuncher } from '../host/hole-puncher.js';
import { LoopDevices } from '../host/loop-devices.js';
import { isAtWork, makerOf } from '../host/maker.js';
import { Mounter } from '../host/mounter.js';
import { makeFilesPrivate } from '../host/private-files.js';
import { notifyServiceManager } from '../host/service-manager.js';
import { SpareFolders } from '../host/spare-folders.js';
import { ViewTargets } from '../host/view-targets.js';
import { StaleCleaner } from '../host/stale.js';
import { ToolServer } from '../host/tool-server.js';
import { createPool } from '../pool/create-pool.js';
import type { FilesystemType } from '../pool/info.js';
import type { OpenPoolOptions } from '../pool/open-options.js';
import { openPool } from '../pool/pool.js';
import type { CreatePoolRequest, ThinPool } from '../pool/thin-pool.js';
import { readSuperblock } from '../metadata/open-metadata.js';
import { LazySource } from '../remote/lazy-source.js';
import { NotedSource } from './noted-source.js';
import type { FileRange } from '../store/file-chunks.js';
import type { KeyValue } from '../store/key-value.js';
import { GrowingData } from '../store/grow-data.js';
import { PoolLog, readLogState } from '../store/pool-log.js';
import { makePoolStore, openPoolStore } from '../store/pool-store.js';
import type { MakeAdapter } from '../adapter/adapter.js';
import type { AdapterPlace } from '../adapter/pool-adapter.js';
import type { Caller } from '../api/operations.js';
import { applySettings } from './apply-settings.js';
import type { DaemonParts } from './daemon.js';
import { unservedPool } from '../service/pool-service.js';
import type { DoctorTools } from './doctor/doctor.js';
import { Dispatcher } from './dispatcher.js';
import { dataLink, requirePool } from './pool-folder.js';
import { prepareData, type DataRequest, type PreparedData } from './init-data.js';
import { EventHub } from './event-hub.js';
import { clearHalfMade } from './half-made.js';
import { readHandover } from './handover.js';
import { KernelHost } from './kernel-host.js';
import type { LogLevel } from './log-level.js';
import type { ListenAddress } from './listen-address.js';
import type { Service } from './service.js';
import { createHandlers } from './operations/handlers.js';
import { textOperations } from './operations/text-operations.js';
import { openDataOf } from './pool-data.js';
import { LogFile, printsTo } from './log-file.js';
import { ProjectionWriter } from '../service/projection-writer.js';
import type { RootLayout } from '../config/root-layout.js';
import { logRemote } from './remote-log.js';
import { logSpace } from './space-log.js';
import { StandingHandover } from './standing-handover.js';
import { ToolRecord } from './tool-record.js';
import { keptConnection } from './supervisor.js';
import type { SnapshotterSettings } from '../containerd/snapshotter-settings.js';
import type { VolumeSettings } from '../volumes/volume-adapter.js';

export interface DaemonOptions {
  readonly snapshotters?: readonly SnapshotterSettings[] | undefined;
  readonly volumes?: VolumeSettings | undefined;
  readonly metrics?: ListenAddress | undefined;
  /** Of the log; events are told from `info` on. Default: info. */
  readonly logLevel?: LogLevel | undefined;
  /** A supervisor has given this process the connection to the kernel. */
  readonly supervised?: boolean;
  /** Default: false. */
  readonly automount?: boolean;
  /** Where the adapter of a socket listens. Default: there. */
  readonly placeOf?: (socket: string) => AdapterPlace;
}

function standardOutput(): DestinationStream {
  // Synchronous, so that a last line before the end is not lost.
  const output = destination({ fd: process.stdout.fd, sync: true });
  // A full disk or a reader that left costs lines, not the pool.
  output.on('error', () => undefined);
  return output;
}

/** Everything real that a daemon runs on. Errors: no-pool. */
export async function daemonParts(
  layout: RootLayout,
  settings: StorageOptions,
  transport: TransportKind,
  options: DaemonOptions = {},
): Promise<DaemonParts> {
  requirePool(layout);
  const supervised = options.supervised === true;
  const handover = supervised ? readHandover(layout) : undefined;
  const connection = supervised ? keptConnection(handover?.connection) : undefined;
  const logFile = printsTo(layout.log) ? new LogFile(layout.log) : undefined;
  const events = new EventHub();
  const level = options.logLevel ?? 'info';
  const log = pino(
    { level: level === 'debug' ? level : 'info' },
    multistream([
      { level, stream: logFile ?? standardOutput() },
      { level: 'info', stream: events },
    ]),
  );
  const standing = supervised
    ? new StandingHandover(layout, (error) =>
        log.error(
          { event: 'handover', err: error },
          'no daemon can replace this one, because it cannot write its state',
        ),
      )
    : undefined;
  const prefix = await devicePrefix(layout.root);
  const exec = ToolServer.start();
  makeFilesPrivate();
  const host = hostOf(layout, prefix, exec);
  const { loops, stale, query, viewTargets } = host;
  const tools = new ToolRecord(layout, (text) => log.warn({ event: 'tools' }, text));
  return {
    layout,
    reopenLog: () => logFile?.reopen(),
    doctor: (pool, projection) => doctorTools(layout, { pool, projection }, host),
    poolName: poolName(prefix),
    statusLine: dmStatusLine,
    fileNameOf: (name) => deviceName(prefix, name),
    openPool: () =>
      openPoolIn(layout, exec, {
        reserve: true,
        watchesFiles: true,
        onOwned: () => tools.begin(exec),
        onMended: (text) => log.warn({ event: 'mended' }, text),
        follows: handover !== undefined,
        events: {
          onModeChanged: (mode, reason) =>
            log.warn({ event: 'mode', mode }, `the pool is now ${mode}: ${reason}`),
          onSpace: (event) => logSpace(log, event),
          onRemote: (problem) => logRemote(log, problem),
        },
      }),
    projection: (pool) => projectionOf(layout, pool, log),
    transport: (directory) =>
      transportOf(transport, layout.devices, directory, {
        log,
        connection,
        onConnectionChanged: (change) => standing?.note(change),
      }),
    host: new KernelHost({
      mounter: new Mounter(
        exec,
        loops,
        new FilesystemTools(exec, FILESYSTEM_LIMITS, (text) => log.info({ event: 'host' }, text)),
      ),
      loops,
      stale,
      query,
      spares: await SpareFolders.in(layout.spares),
      viewTargets,
      onWarning: (text) => log.warn({ event: 'host' }, text),
      inMount: (task) => exec.perform(task),
      standing,
    }),
    space:
      (options.snapshotters ?? []).length === 0
        ? undefined
        : new SpaceFolder(exec, {
            of: layout.devices,
            target: layout.space,
            onWarning: (text) => log.warn({ event: 'space-folder' }, text),
          }),
    standing,
    tools,
    endTools: () => exec.end(),
    clearStale: async () => {
      const { done, left } = await stale.clear(query);
      if (left.length > 0)
        throw new ThinError(
          'busy',
          `an earlier daemon of ${layout.root} left things that cannot be cleared: ${left.join('; ')}; end what uses them, then start again`,
        );
      return [...done, ...(await viewTargets.clear())];
    },
    // A daemon that follows another one was not started anew: what was set since then stays.
    configure: async (pool) => {
      if (handover === undefined) await applySettings(pool, settings);
    },
    handover,
    automount: options.automount,
    adapters: await adaptersOf(options, log, exec),
    log,
    events,
    notifyManager: (state, status) => notifyServiceManager(exec, state, status),
  };
}

/** Each is loaded only where it serves: their packages take longer to load than most commands to run. */
async function adaptersOf(
  { snapshotters = [], volumes, metrics, placeOf = (socket) => ({ socket }) }: DaemonOptions,
  log: Logger,
  exec: Exec,
): Promise<MakeAdapter[]> {
  const adapters: MakeAdapter[] = [];
  if (snapshotters.length > 0) {
    const { snapshotAdapters } = await import('../containerd/snapshot-adapter.js');
    const areTold = snapshotters.every(({ filesystem }) => filesystem !== undefined);
    const usual = areTold ? {} : await favoured(exec, log);
    adapters.push(
      ...snapshotAdapters(
        snapshotters.map((settings) => ({ ...usual, ...settings })),
        log,
        placeOf,
      ),
    );
  }
  if (volumes !== undefined) {
    const { volumeAdapter } = await import('../volumes/volume-adapter.js');
    adapters.push(volumeAdapter(volumes, log, placeOf(volumes.socket)));
  }
  if (metrics !== undefined) {
    const { metricsAdapter } = await import('./metrics-server.js');
    const told = (url: string): void => log.info({ event: 'metrics', url }, `metrics are served on ${url}`);
    adapters.push(metricsAdapter(metrics, told));
  }
  return adapters;
}

/**
 * The filesystem of snapshotters that were not told one: a snapshot of an empty ext4 costs a chunk or two,
 * one of an empty xfs 2 MiB of log (docs/containerd.md has the figures).
 */
async function favoured(exec: Exec, log: Logger): Promise<{ filesystem?: FilesystemType }> {
  try {
    await new FilesystemTools(exec).requireTools('ext4');
    return { filesystem: 'ext4' };
  } catch (error) {
    log.warn({ event: 'snapshotter' }, `containerd's layers have the pool's filesystem: ${String(error)}`);
    return {};
  }
}

type HostTools = Pick<DoctorTools, 'loops' | 'stale' | 'query' | 'viewTargets'>;

function hostOf(layout: RootLayout, prefix: string, exec: Exec): HostTools {
  const loops = new LoopDevices(exec);
  const query = { devices: layout.devices, space: layout.space, imagePrefix: `${prefix}-` };
  return { loops, stale: new StaleCleaner(exec, loops), query, viewTargets: new ViewTargets(prefix) };
}

function doctorTools(
  layout: RootLayout,
  { pool, projection }: Pick<Service, 'pool' | 'projection'>,
  host: HostTools,
): DoctorTools {
  return {
    ...host,
    drifted: async () => {
      await projection.settled();
      return projectionDrift(layout.metadata, pool);
    },
    // One that knows of no file yet, so that it looks at every one.
    rewrite: async () => {
      const files = new MetadataProjection(layout.metadata);
      await files.write(pool).finally(() => files.close());
    },
  };
}

/**
 * A pool that this process opened for itself, with the same operations as a daemon has, except those that
 * need devices.
 */
export interface OfflinePool {
  readonly caller: Caller;
  close(): Promise<void>;
}

/** Errors: no-pool, locked (a daemon or another command has it), damaged. */
export async function openOffline(
  layout: RootLayout,
  onWarning: (text: string) => void,
): Promise<OfflinePool> {
  const service = await openAlone(layout, onWarning);
  const dispatcher = dispatcherOf(service);
  return {
    caller: dispatcher,
    close: async () => {
      await dispatcher.close();
      await service.projection.settled();
      await service.pool.close();
    },
  };
}

/** The operations of a pool that this process has open. */
export function dispatcherOf(service: Service): Dispatcher {
  return new Dispatcher(
    createHandlers(service),
    textOperations(() => service.pool.tools.freeze(), { pool: service.pool }),
  );
}

/**
 * The pool and what is done with its devices, in a process that serves none. Closing the pool ends it.
 * Errors: as `openOffline`.
 */
export async function openAlone(layout: RootLayout, onWarning: (text: string) => void): Promise<Service> {
  requirePool(layout);
  const pool = await openPoolIn(layout, new ChildProcessExec(), {
    onMended: onWarning,
    onOwned: () => new ToolRecord(layout, onWarning).begin(),
    events: { onModeChanged: (mode, reason) => onWarning(`the pool is ${mode}: ${reason}`) },
  });
  const prefix = await devicePrefix(layout.root);
  const files = new MetadataProjection(layout.metadata);
  const projection = new ProjectionWriter(
    pool,
    (from) => files.write(from),
    (error) => onWarning(`the files in ${layout.metadata} are behind the pool: ${String(error)}`),
  );
  return {
    ...unservedPool({ layout, pool, projection, makers: { isAtWork, makerOf } }),
    poolName: poolName(prefix),
    statusLine: dmStatusLine,
    doctor: doctorTools(layout, { pool, projection }, hostOf(layout, prefix, new ChildProcessExec())),
    serving: undefined,
  };
}

/**
 * Makes an empty pool in the root's folder, which is there and empty; `data` makes it a `direct` one. Errors:
 * as `createPool` and the store.
 */
export async function createPoolIn(
  layout: RootLayout,
  request: CreatePoolRequest,
  data?: { readonly prepared: PreparedData; readonly maker: string },
): Promise<void> {
  const store = await makePoolStore(layout.pool);
  try {
    if (data === undefined) {
      await createPool(store, request);
      return;
    }
    await createPool(store, { ...request, kind: 'direct', dataSize: data.prepared.dataSize });
    // The link comes first, so that a later process that finds half a pool also finds the label.
    await symlink(data.prepared.path, dataLink(layout.pool));
    await data.prepared.label({ uuid: readSuperblock(store).uuid, maker: data.maker });
  } finally {
    await store.close();
  }
}

/** The data of a `direct` pool that is about to be made. Errors: as `prepareData`. */
export async function prepareDataFor(request: DataRequest): Promise<PreparedData> {
  return prepareData(request, new ChildProcessExec());
}

/** As `clearHalfMade`. */
export async function clearUnfinishedRoot(layout: RootLayout): Promise<boolean> {
  return clearHalfMade(layout, new ChildProcessExec());
}

/** Before anything is made. Errors: missing-tool, missing-device. */
export async function requireHost(filesystem: FilesystemType): Promise<void> {
  await new FilesystemTools(new ChildProcessExec()).requireTools(filesystem);
}

function transportOf(
  kind: TransportKind,
  folder: string,
  directory: ImageDirectory,
  {
    log,
    connection,
    onConnectionChanged,
  }: {
    log: Logger;
    connection: KeptConnection | undefined;
    onConnectionChanged: (change: ConnectionChange) => void;
  },
): Transport {
  const onFault = (error: ThinError): void => log.error({ event: 'fault', err: error }, error.message);
  switch (kind) {
    case 'fuse-native':
      return new FuseNativeTransport(folder, directory, { onFault });
    case 'kernel':
      return new KernelTransport(folder, directory, { onFault, connection, onConnectionChanged });
  }
}

/** Bytes: LevelDB writes its log out as tables when it is opened. */
const LEAST_TO_OPEN = 128 * 2 ** 20;

interface OpenInOptions extends Omit<OpenPoolOptions, 'log'> {
  readonly reserve?: boolean;
  /** This process goes on below the mounts of one that died. */
  readonly follows?: boolean;
  /** Called when this process owns the pool and has not touched its data. */
  readonly onOwned: () => Promise<void>;
  /** Told of what was found out of order in the pool's files, and mended. */
  readonly onMended: (text: string) => void;
}

async function openPoolIn(
  layout: RootLayout,
  exec: Exec,
  { reserve = false, follows = false, onOwned, onMended, ...given }: OpenInOptions,
): Promise<ThinPool> {
  const options = { ...given, remote: new NotedSource(new LazySource(), layout.notes) };
  const hostDisk = new FolderDisk(layout.pool, exec);
  if (hostDisk.free() < LEAST_TO_OPEN) await hostDisk.releaseReserve();
  const store = await openPoolStore(layout.pool, { onNote: onMended });
  let data: FileHandle | undefined;
  let log: PoolLog | undefined;
  try {
    await onOwned();
    const superblock = readSuperblock(store);
    if (reserve) await hostDisk.holdReserve();
    log = await openLog(layout, store, { follows, free: hostDisk.free(), onNote: onMended });
    if (superblock.kind === 'leveldb') return await openPool(store, { ...options, hostDisk, log });
    const { path, ...file } = await openDataOf(layout, superblock);
    data = file.handle;
    for (const text of file.mended) onMended(text);
    if (follows) await waitForOthers(path);
    const puncher = new HolePuncher(exec);
    const growing = new GrowingData(path, file);
    const punch = (ranges: readonly FileRange[]): Promise<void> => puncher.punch(path, ranges);
    return await openPool(store, {
      ...options,
      hostDisk,
      log,
      growData: (chunks) => growing.grow(chunks),
      dataRoom: () => growing.room(),
      dataFree: () => (file.isBlockDevice ? undefined : freeAt(path)),
      data: {
        handle: file.handle,
        start: file.label.start,
        // A file that was given with all its space keeps it, and a block device has none to give back.
        punch: file.isBlockDevice || file.label.preallocated ? undefined : punch,
      },
    });
  } catch (error) {
    await data?.close();
    await log?.close(undefined);
    await store.close();
    throw error;
  }
}

/** Bytes. A `leveldb` pool's has data, a `direct` one's says where data is. */
const LOG_BYTES = { leveldb: 64 * 2 ** 20, direct: 16 * 2 ** 20 };
/** On a disk that has little room, in which more is made in multiples of it. */
const LEAST_LOG = 4 * 2 ** 20;

async function openLog(
  { pool }: RootLayout,
  store: KeyValue,
  {
    follows,
    free,
    onNote,
  }: { readonly follows: boolean; readonly free: number; readonly onNote: (text: string) => void },
): Promise<PoolLog> {
  const { uuid, kind } = readSuperblock(store);
  return PoolLog.open(pool, store, {
    onNote,
    follows: follows && readLogState(store) !== undefined,
    uuid,
    isDirect: kind === 'direct',
    ring: Math.max(LEAST_LOG, Math.min(LOG_BYTES[kind], Math.floor(free / 8 / LEAST_LOG) * LEAST_LOG)),
  });
}

function projectionOf(layout: RootLayout, pool: ThinPool, log: Logger): ProjectionWriter {
  const files = new MetadataProjection(layout.metadata);
  return new ProjectionWriter(
    pool,
    (from) => files.write(from),
    (error) => log.error({ event: 'projection', err: error }, `${layout.metadata} is behind the pool`),
  );
}

import { mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from 'pino';
import { until } from '../async/until.js';
import type { Incompleteness } from '../api/operations.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import type { ImageDirectory } from '../io/image-file.js';
import type { Transport } from '../fuse/transport.js';
import { isAtWork, makerOf } from '../host/maker.js';
import type { PoolInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { Adapter, MakeAdapter } from '../adapter/adapter.js';
import { closeToOthers, openOwnFile, requireOwnFolder } from '../host/own-paths.js';
import type { DeviceHost } from '../service/device-host.js';
import { INNER_SOCKET } from './adapter-places.js';
import { Dispatcher, type CallRecord } from './dispatcher.js';
import { callWords } from './call-words.js';
import type { DoctorTools } from './doctor/doctor.js';
import { createHandlers } from './operations/handlers.js';
import { textOperations } from './operations/text-operations.js';
import type { EventHub } from './event-hub.js';
import type { Handover } from './handover.js';
import { Metrics } from './metrics.js';
import { refuseLive } from '../api/live-socket.js';
import type { ProjectionWriter } from '../service/projection-writer.js';
import type { RootLayout } from '../config/root-layout.js';
import { ServedPool } from '../service/pool-service.js';
import type { Service } from './service.js';
import { UiServer } from './ui-server.js';
import { UsageHistory } from './usage-history.js';
import type { ServedState, StandingHandover } from './standing-handover.js';
import { SocketServer } from './socket-server.js';
import { tellReplaced } from './supervisor.js';
import { unmountAll } from './unmount-all.js';
import type { ToolRecord } from './tool-record.js';

/** What a daemon runs on; `composition.ts` brings the real ones. */
export interface DaemonParts {
  readonly layout: RootLayout;
  /** Opens the log's file by its path again, after a rotation. Does nothing if lines go elsewhere. */
  readonly reopenLog?: () => void;
  /** Opening it takes the lock that makes this daemon the only one. */
  readonly openPool: () => Promise<ThinPool>;
  readonly poolName: string;
  readonly statusLine: (info: PoolInfo) => string;
  readonly fileNameOf: (name: DeviceName) => string;
  readonly projection: (pool: ThinPool) => ProjectionWriter;
  readonly doctor: (pool: ThinPool, projection: ProjectionWriter) => DoctorTools;
  readonly transport: (directory: ImageDirectory) => Transport;
  readonly host: DeviceHost;
  /** Where programs that overlook FUSE are told the pool's space. */
  readonly space?: { mount(): Promise<void>; unmount(): Promise<void> } | undefined;
  /** Record of the tools of a daemon that died; waits for each. Errors: busy (`mustBeGone`). */
  readonly tools?: Pick<ToolRecord, 'settle' | 'end'> | undefined;
  /** Ends the process that runs this daemon's tools. */
  readonly endTools?: () => Promise<void>;
  /** Clears what a daemon that died left; says what it did. */
  readonly clearStale: () => Promise<readonly string[]>;
  /** Settings that the command line brings to an open pool. */
  readonly configure: (pool: ThinPool) => Promise<void>;
  /** Other ways in than the control socket. */
  readonly adapters?: readonly MakeAdapter[];
  /** Devices that are to be mounted at each start are mounted. Default: false. */
  readonly automount?: boolean | undefined;
  /** What an earlier daemon left, whose mount this one takes over with the transport. */
  readonly handover?: Handover | undefined;
  /** Of a daemon that another one follows when it dies. */
  readonly standing?: StandingHandover | undefined;
  readonly log: Logger;
  /** What is logged, for those who follow it. */
  readonly events?: EventHub;
  /** Tells the service manager, where one started this. */
  readonly notifyManager?: (state: 'READY=1' | 'STOPPING=1', status: string) => Promise<unknown>;
}

/** Of daemons that lived as long as a command (`start --temporary`). */
const TEMPORARY_SOCKET = /^thinfuse-\d+\.sock$/;

/** How soon a mount goes whose readers died. */
const REAP_VIEWS_MS = 5_000;

/** How long a restart waits for calls that wait for a store. */
const STORE_PATIENCE_MS = 3000;
const STORE_LOOKS = { limitMs: 60_000, pollMs: 50 };
/** How long a read waits for a store where its reader is about to be ended. */
const UNFINISHED_PATIENCE_MS = 1000;

/** For the answer to a restart to leave the process. */
const LAST_ANSWER_MS = 20;

/** One pool, served: FUSE directory, mounts and control socket, from start to an orderly end. */
export class Daemon {
  readonly #parts: DaemonParts;
  readonly #pool: ThinPool;
  readonly #transport: Transport;
  readonly #served: ServedPool;
  readonly #dispatcher: Dispatcher;
  readonly #server: SocketServer;
  readonly #history: UsageHistory;
  readonly #ui: UiServer;
  readonly #adapters: readonly Adapter[];
  readonly #ended: Promise<void>;
  #reaping: NodeJS.Timeout | undefined;
  #resolveEnded: () => void = () => undefined;
  #unmounting: Promise<void> | undefined;
  #finishing: Promise<void> | undefined;

  private constructor(parts: DaemonParts, pool: ThinPool, projection: ProjectionWriter) {
    const { layout, host, log } = parts;
    this.#parts = parts;
    this.#pool = pool;
    this.#ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
    this.#served = new ServedPool({
      ...{ layout, pool, projection, host, log, makers: { isAtWork, makerOf } },
      fileNameOf: parts.fileNameOf,
      carriesDiscards: () => this.#transport.supportsDiscard,
      onChanged: (change) => parts.standing?.note(change),
    });
    const served = this.#served;
    this.#transport = parts.transport(served.directory);
    const metrics = new Metrics({ pool, mounted: () => served.mounts.count, events: parts.events });
    this.#history = new UsageHistory(pool, layout.history);
    this.#ui = new UiServer({
      served,
      poolName: parts.poolName,
      history: this.#history,
      events: parts.events,
    });
    this.#dispatcher = new Dispatcher(
      createHandlers(this.#service(metrics)),
      textOperations(() => pool.tools.freeze(), { events: parts.events, pool }),
      (record) => {
        logCall(log, record);
        metrics.noteCall(record);
      },
    );
    this.#server = new SocketServer(layout.socket, this.#dispatcher);
    this.#adapters = (parts.adapters ?? []).map((make) => make(served, metrics));
  }

  #service(metrics: Metrics): Service {
    const { poolName, statusLine, doctor } = this.#parts;
    const { layout, pool, projection, locks, changes, devices, properties } = this.#served;
    return {
      ...{ layout, pool, projection, locks, changes, devices, properties, poolName, statusLine },
      doctor: doctor(pool, projection),
      serving: {
        served: this.#served,
        metrics,
        ui: this.#ui,
        transport: this.#transport.kind,
        startedAt: Date.now(),
        stop: (options) => this.#stopFromInside(options),
        restart: () => this.#restart(),
        whileOpen: (work) => this.#dispatcher.whileOpen(work),
      },
    };
  }

  /**
   * Serving when it resolves; nothing left behind when it rejects. Errors: already-running, locked (another
   * process has the pool), no-pool, damaged, missing-device (no /dev/fuse), and others of the parts.
   */
  static async start(parts: DaemonParts): Promise<Daemon> {
    const { layout, log } = parts;
    await refuseLive(layout.socket);
    const undo: (() => Promise<unknown>)[] = [];
    try {
      const pool = await parts.openPool();
      undo.push(() => pool.close());
      if (parts.handover === undefined) {
        await parts.tools?.settle({ mustBeGone: true });
        for (const step of await parts.clearStale()) log.warn({ event: 'stale' }, step);
      }
      await parts.configure(pool);
      const projection = parts.projection(pool);
      await projection.refresh();
      const daemon = new Daemon(parts, pool, projection);
      if (parts.handover === undefined) await tidyRoot(layout);
      else await daemon.#takeOver(parts.handover);
      await daemon.#transport.mount();
      undo.push(() => daemon.#transport.unmount());
      await parts.space?.mount();
      undo.push(async () => parts.space?.unmount());
      if (parts.handover !== undefined) {
        // They may wait for their device, which is served again only now.
        await parts.tools?.settle({ mustBeGone: false });
        for (const step of await parts.host.recover(parts.handover)) log.warn({ event: 'stale' }, step);
        await daemon.#clearPassing(parts.handover);
        daemon.#hurry(parts.handover.unfinished, undefined);
      }
      parts.standing?.begin(() => daemon.#handover());
      await daemon.#server.listen();
      undo.push(() => daemon.#server.close());
      for (const adapter of daemon.#adapters) {
        await adapter.listen();
        undo.push(() => adapter.close());
      }
      await writePid(layout.pid);
      await daemon.#history.start();
      undo.push(() => daemon.#history.stop());
      daemon.#watchTransport();
      await daemon.#served.devices.unfinished.start();
      undo.push(() => daemon.#served.devices.unfinished.stop());
      await daemon.#served.views.sweep(daemon.#served.mounts.views());
      daemon.#reaping = setInterval(() => void daemon.#reapViews(), REAP_VIEWS_MS).unref();
      undo.push(() => {
        clearInterval(daemon.#reaping);
        return Promise.resolve();
      });
      await daemon.#served.deferred.start();
      undo.push(() => daemon.#served.deferred.stop());
      if (parts.handover === undefined && parts.automount === true) {
        undo.push(() => daemon.#unmountAll(true));
        await daemon.#served.automounts.start();
      }
      log.info(
        { event: 'started', pool: parts.poolName, transport: daemon.#transport.kind },
        `serving ${layout.devices}`,
      );
      return daemon;
    } catch (error) {
      for (const step of undo.reverse())
        await step().catch((failure: unknown) => log.warn({ event: 'undo', err: failure }));
      await parts.endTools?.();
      throw error;
    }
  }

  /** Resolves when the daemon has stopped, for whatever reason. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /**
   * Stops in order and unmounts devices in use lazily. For signals, whose sender cannot be refused.
   * Idempotent.
   */
  async stop(reason: string): Promise<void> {
    if (this.#finishing === undefined) {
      this.#parts.log.info({ event: 'stopping', reason }, `stopping: ${reason}`);
      await this.#unmounting?.catch(() => undefined);
      await this.#dispatcher.close();
      await this.#pauseAdapters();
      await this.#unmountAll(true);
    }
    await this.#finish();
  }

  /** Carries out the operation `stop`, which is itself under way meanwhile. */
  async #stopFromInside({ force }: { force: boolean }): Promise<Incompleteness> {
    this.#parts.log.info({ event: 'stopping', force }, 'stopping: a command asked for it');
    await this.#dispatcher.close(1);
    await this.#pauseAdapters();
    const unmounting = this.#unmountAll(force);
    this.#unmounting = unmounting.then(() => undefined);
    this.#unmounting.catch(() => undefined);
    let result: Incompleteness;
    try {
      result = await unmounting;
    } catch (error) {
      this.#dispatcher.reopen();
      for (const adapter of this.#adapters) adapter.resume();
      throw error;
    } finally {
      this.#unmounting = undefined;
    }
    // The answer goes out first: closing the socket waits for it.
    setImmediate(() => void this.#finish());
    return result;
  }

  /** Users of the devices wait meanwhile, and the next daemon answers their requests. */
  async #restart(): Promise<void> {
    const { log } = this.#parts;
    log.info({ event: 'restarting' }, 'restarting: a command asked for it');
    await this.#callsEnd();
    const connection = this.#transport.handOver?.();
    if (connection === undefined) {
      this.#dispatcher.reopen();
      for (const adapter of this.#adapters) adapter.resume();
      throw new ThinError(
        'unsupported',
        'this daemon cannot be replaced under its mounts: that needs thinfuse start --supervised, the kernel transport and Linux 6.9; use thinfuse stop and start',
      );
    }
    // From here there is no way back: what is asked now is not answered by this process.
    try {
      this.#parts.standing?.fix();
      await this.#pool.commit();
    } catch (error) {
      log.error({ event: 'restarting', err: error }, 'restarting failed; mounts end with this daemon');
    }
    tellReplaced();
    // The answer goes out first. An orderly exit would unmount what is to stay.
    setImmediate(() => setTimeout(() => process.kill(process.pid, 'SIGKILL'), LAST_ANSWER_MS));
  }

  /** A call that waits for a store is the next daemon's to clear away, as where a daemon dies. */
  async #callsEnd(): Promise<void> {
    const calls = new AbortController();
    void this.#dispatcher
      .close(1)
      .then(() => this.#pauseAdapters())
      .finally(() => calls.abort());
    const began = performance.now();
    const isWaiting = (): boolean =>
      performance.now() - began > STORE_PATIENCE_MS &&
      this.#pool.figures().remote.waitedMs > STORE_PATIENCE_MS;
    while (!(await until(() => calls.signal.aborted || isWaiting(), STORE_LOOKS)));
    if (!calls.signal.aborted)
      this.#parts.log.warn({ event: 'restarting' }, 'the daemon ends the requests that wait for a store');
  }

  /** As the earlier daemon had it: devices are active before the transport asks for them. */
  async #takeOver({ active, mounts, unfinished }: Handover): Promise<void> {
    for (const name of active)
      await this.#served.active.activate(name as DeviceName).catch((error: unknown) => {
        // Removed by the last thing that the earlier daemon did.
        if (!(error instanceof ThinError) || error.code !== 'not-found') throw error;
      });
    this.#served.mounts.takeOver(mounts);
    // The tools at these are about to be ended, which takes until their reads are answered.
    this.#hurry(unfinished, UNFINISHED_PATIENCE_MS);
  }

  #hurry(images: readonly string[], patience: number | undefined): void {
    for (const name of this.#served.active.names())
      if (images.includes(this.#served.active.pathOf(name) ?? '')) this.#pool.setPatience(name, patience);
  }

  /** What the earlier daemon began and no process continues, after the host released it. */
  async #clearPassing({ passing = [], attaching = [] }: Handover): Promise<void> {
    const { layout, log } = this.#parts;
    const { active } = this.#served;
    const attached = active.names().filter((name) => attaching.includes(active.pathOf(name) ?? ''));
    for (const name of [...passing, ...attached])
      await active.deactivate(name as DeviceName, { deferred: true }).catch((error: unknown) => {
        log.warn({ event: 'stale', device: name, err: error }, `${name} stays active`);
      });
    const mounted = new Set(this.#served.mounts.handOver().map(({ target }) => target));
    for (const folder of await mountFolders(layout))
      if (!mounted.has(folder)) await rmdir(folder).catch(() => undefined);
  }

  #handover(): ServedState | undefined {
    const connection = this.#transport.connectionState?.();
    if (connection === undefined) return undefined;
    return {
      connection,
      active: [...this.#served.active.names()],
      mounts: this.#served.mounts.handOver(),
    };
  }

  async #pauseAdapters(): Promise<void> {
    for (const adapter of this.#adapters)
      await adapter.pause().catch((error: unknown) => this.#parts.log.warn({ event: 'stop', err: error }));
  }

  #unmountAll(force: boolean): Promise<Incompleteness> {
    const { host, log } = this.#parts;
    return unmountAll({ served: this.#served, pool: this.#pool, host, log }, { force });
  }

  /** Never rejects. */
  async #reapViews(): Promise<void> {
    for (const name of await this.#served.mounts.undone().catch(() => []))
      await this.#served.locks
        .run([name], async () => {
          await this.#served.mounts.releaseUndone(name);
          await this.#served.deferred.finish(name);
        })
        .catch((error: unknown) => this.#parts.log.debug({ event: 'undone', device: name, err: error }));
    for (const name of this.#served.mounts.abandoned())
      await this.#served.locks
        .run([name], async () => {
          await this.#served.mounts.reap(name);
          await this.#served.deferred.finish(name);
        })
        .catch((error: unknown) => this.#parts.log.debug({ event: 'view', device: name, err: error }));
  }

  #finish(): Promise<void> {
    return (this.#finishing ??= this.#goDown());
  }

  async #goDown(): Promise<void> {
    const { layout, log, notifyManager } = this.#parts;
    await notifyManager?.('STOPPING=1', `closing ${layout.root}`);
    clearInterval(this.#reaping);
    const steps: readonly (() => Promise<unknown>)[] = [
      () => this.#served.devices.unfinished.stop(),
      () => this.#served.deferred.stop(),
      () => this.#history.stop(),
      () => this.#ui.close(),
      () => this.#server.close(),
      ...this.#adapters.map((adapter) => () => adapter.close()),
      async () => this.#parts.space?.unmount(),
      () => this.#transport.unmount(),
      () => this.#served.projection.settled(),
      () => this.#pool.close(),
      () => rm(layout.pid, { force: true }),
    ];
    for (const step of steps)
      await step().catch((error: unknown) =>
        log.error({ event: 'stop', err: error }, 'a step of stopping failed'),
      );
    this.#parts.standing?.end();
    this.#parts.tools?.end();
    await this.#parts.endTools?.();
    log.info({ event: 'stopped' }, 'stopped');
    this.#resolveEnded();
  }

  #watchTransport(): void {
    void this.#transport.ended.then(() => {
      if (this.#finishing !== undefined) return;
      this.#parts.log.error(
        { event: 'fuse-ended' },
        `the mount on ${this.#parts.layout.devices} was ended from outside`,
      );
      void this.stop('the FUSE mount has ended');
    });
  }
}

/** Makes missing folders again, and removes what an earlier daemon had no time to remove. */
async function tidyRoot(layout: RootLayout): Promise<void> {
  await closeToOthers(layout);
  for (const folder of [layout.devices, layout.mounts]) {
    await requireOwnFolder(folder);
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  for (const folder of await mountFolders(layout)) await rmdir(folder).catch(() => undefined);
  await rmdir(layout.openMounts).catch(() => undefined);
  for (const name of await readdir(layout.root))
    if (
      (TEMPORARY_SOCKET.test(name) || INNER_SOCKET.test(name)) &&
      path.join(layout.root, name) !== layout.socket
    )
      await rm(path.join(layout.root, name), { force: true });
}

async function mountFolders({ mounts, openMounts }: RootLayout): Promise<readonly string[]> {
  const of = async (folder: string): Promise<readonly string[]> =>
    (await readdir(folder).catch(() => [])).map((name) => path.join(folder, name));
  return [...(await of(mounts)), ...(await of(openMounts))];
}

async function writePid(at: string): Promise<void> {
  const file = await openOwnFile(at, 'replace');
  try {
    await file.writeFile(`${process.pid}\n`);
  } finally {
    await file.close();
  }
}

/** What no user would notice is logged at debug level. */
function logCall(log: Logger, { operation, input, milliseconds, error }: CallRecord): void {
  const fields = { event: 'call', operation, input, ms: Math.round(milliseconds) };
  const words = callWords(operation, input);
  if (error === undefined) {
    if (words === undefined) log.debug(fields);
    else log.info(fields, words);
    return;
  }
  const { code, message, stack } = toThinError(error);
  if (code === 'internal') log.warn({ ...fields, code, stack }, message);
  else log[words === undefined ? 'debug' : 'warn']({ ...fields, code }, message);
}

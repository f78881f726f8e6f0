import type { Logger } from 'pino';
import type { MountMode } from '../../containerd/mount-mode.js';
import { ThinError, toThinError } from '../../errors/thin-error.js';
import { InFlight } from '../../fuse/in-flight.js';
import type { Adapter, MakeAdapter } from '../adapter.js';
import { SnapshotIndex } from './snapshot-index.js';
import { SnapshotMounts } from './snapshot-mounts.js';
import { SnapshotServer, type SnapshotCall } from './snapshot-server.js';
import { Snapshotters } from './snapshotters.js';

export interface SnapshotterSettings {
  /** Absolute. */
  readonly socket: string;
  readonly mounts: MountMode;
}

/** How often devices of removed snapshots are tried whose files were in use. */
const REAP_INTERVAL_MS = 10_000;

/** Calls that only look; they are logged at debug level. */
const QUIET = new Set(['Stat', 'List', 'Usage', 'Mounts']);

/** The snapshotter of a daemon, for containerd to use the pool through. */
export function snapshotAdapter(settings: SnapshotterSettings, log: Logger): MakeAdapter {
  return (served) => {
    const mounts = new SnapshotMounts(served, settings.mounts);
    const index = new SnapshotIndex(served.pool);
    const snapshotters = new Snapshotters(served, index, mounts, ({ name, snapshots }) =>
      log.warn(
        { event: 'snapshotter', name, snapshots },
        `${snapshots} snapshots of before names were kept belong to the snapshotter ${JSON.stringify(name)} from now on, because it asked first`,
      ),
    );
    return new SnapshotAdapter(settings, { snapshotters, index, mounts }, log);
  };
}

class SnapshotAdapter implements Adapter {
  readonly #snapshotters: Snapshotters;
  readonly #index: SnapshotIndex;
  readonly #mounts: SnapshotMounts;
  readonly #server: SnapshotServer;
  readonly #socket: string;
  readonly #log: Logger;
  readonly #underWay = new InFlight();
  #paused = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    settings: SnapshotterSettings,
    {
      snapshotters,
      index,
      mounts,
    }: {
      readonly snapshotters: Snapshotters;
      readonly index: SnapshotIndex;
      readonly mounts: SnapshotMounts;
    },
    log: Logger,
  ) {
    this.#snapshotters = snapshotters;
    this.#index = index;
    this.#mounts = mounts;
    this.#log = log;
    this.#socket = settings.socket;
    this.#server = new SnapshotServer({
      socket: settings.socket,
      snapshotters,
      enter: () => this.#enter(),
      onCall: (call) => {
        logCall(log, call);
      },
    });
  }

  async listen(): Promise<void> {
    await this.#mounts.takeOver(this.#index.devices());
    await this.#server.listen();
    this.#log.info({ event: 'snapshotter', socket: this.#socket }, `containerd is served on ${this.#socket}`);
    await this.#reap();
    this.#timer = setInterval(() => void this.#reap(), REAP_INTERVAL_MS);
    this.#timer.unref();
  }

  async pause(): Promise<void> {
    this.#paused = true;
    await this.#underWay.idle();
    await this.#mounts.releaseLoops();
  }

  resume(): void {
    this.#paused = false;
  }

  async close(): Promise<void> {
    this.#paused = true;
    clearInterval(this.#timer);
    await this.#server.close();
  }

  async #reap(): Promise<void> {
    if (this.#paused || !this.#snapshotters.hasRetired) return;
    const leave = this.#enter();
    try {
      await this.#snapshotters.reap();
    } catch (error) {
      this.#log.warn({ event: 'snapshotter', err: error }, 'devices of removed snapshots are still there');
    } finally {
      leave();
    }
  }

  #enter(): () => void {
    if (this.#paused)
      throw new ThinError('closed', 'the daemon is stopping and takes no more work; start it again first');
    this.#underWay.enter();
    return () => {
      this.#underWay.leave();
    };
  }
}

function logCall(log: Logger, { method, request, milliseconds, error }: SnapshotCall): void {
  const fields = { event: 'snapshot', method, request, ms: Math.round(milliseconds) };
  if (error === undefined) {
    if (QUIET.has(method)) log.debug(fields);
    else log.info(fields);
    return;
  }
  const { code, message, stack } = toThinError(error);
  // containerd asks for what may not be there, or be there already, as a matter of course.
  if (code === 'not-found' || code === 'exists') log.debug({ ...fields, code }, message);
  else log.warn({ ...fields, code, ...(code === 'internal' ? { stack } : {}) }, message);
}

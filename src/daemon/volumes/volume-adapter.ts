import type { Logger } from 'pino';
import { ThinError } from '../../errors/thin-error.js';
import { InFlight } from '../../fuse/in-flight.js';
import type { Method } from '../../volumes/messages.js';
import type { Adapter, MakeAdapter } from '../adapter.js';
import { VolumeServer, type VolumeCall } from './volume-server.js';
import { Volumes } from './volumes.js';

export interface VolumeSettings {
  /** Absolute. */
  readonly socket: string;
  /** How long a removal waits for processes that work in the volume. Default: 10 s. */
  readonly patienceMs?: number;
}

/** How often mounts are tried whose files were in use when their last container ended. */
const REAP_INTERVAL_MS = 10_000;

/** Calls that only look; they are logged at debug level. */
const QUIET = new Set<Method>([
  'Plugin.Activate',
  'VolumeDriver.Capabilities',
  'VolumeDriver.Get',
  'VolumeDriver.List',
  'VolumeDriver.Path',
]);

/** The volume plugin of a daemon, for Docker and podman to use the pool through. */
export function volumeAdapter(settings: VolumeSettings, log: Logger): MakeAdapter {
  return (served) => new VolumeAdapter(settings, new Volumes(served, settings), log);
}

class VolumeAdapter implements Adapter {
  readonly #volumes: Volumes;
  readonly #server: VolumeServer;
  readonly #socket: string;
  readonly #log: Logger;
  readonly #underWay = new InFlight();
  #paused = false;
  #timer: NodeJS.Timeout | undefined;

  constructor({ socket }: VolumeSettings, volumes: Volumes, log: Logger) {
    this.#volumes = volumes;
    this.#socket = socket;
    this.#log = log;
    this.#server = new VolumeServer({
      socket,
      volumes,
      enter: () => this.#enter(),
      onCall: (call) => {
        logCall(log, call);
      },
    });
  }

  async listen(): Promise<void> {
    await this.#server.listen();
    this.#log.info({ event: 'volumes', socket: this.#socket }, `volumes are served on ${this.#socket}`);
    this.#timer = setInterval(() => void this.#reap(), REAP_INTERVAL_MS);
    this.#timer.unref();
  }

  async pause(): Promise<void> {
    this.#paused = true;
    await this.#underWay.idle();
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
    if (this.#paused) return;
    const leave = this.#enter();
    try {
      await this.#volumes.reap();
    } catch (error) {
      this.#log.warn({ event: 'volumes', err: error }, 'volumes without containers are still mounted');
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

function logCall(log: Logger, { method, request, milliseconds, error }: VolumeCall): void {
  const fields = { event: 'volume', method, request, ms: Math.round(milliseconds) };
  if (error === undefined) {
    if (QUIET.has(method)) log.debug(fields);
    else log.info(fields);
    return;
  }
  const { code, message, stack } = error;
  // Engines ask every driver for names that may be another's.
  if (code === 'not-found') log.debug({ ...fields, code }, message);
  else log.warn({ ...fields, code, ...(code === 'internal' ? { stack } : {}) }, message);
}

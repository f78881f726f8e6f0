import type { TransportKind } from '../fuse/transport.js';
import type { PoolInfo } from '../pool/info.js';
import type { Incompleteness } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import type { PoolService, ServedPool } from '../service/pool-service.js';
import type { DoctorTools } from './doctor/doctor.js';
import type { Metrics } from './metrics.js';
import type { UiServer } from './ui-server.js';

/** What only a daemon has: devices that are served, figures, and an end. */
export interface Serving {
  readonly served: ServedPool;
  readonly metrics: Metrics;
  readonly ui: UiServer;
  readonly transport: TransportKind;
  /** Unix time, milliseconds. */
  readonly startedAt: number;
  /** See the operation `stop`; resolves when nothing is mounted, and the daemon goes down after that. */
  readonly stop: (options: { force: boolean }) => Promise<Incompleteness>;
  /** See the operation `restart`; resolves when the next daemon may begin, and this one ends after that. */
  readonly restart: () => Promise<void>;
  /** See `Dispatcher.whileOpen`. */
  readonly whileOpen: <T>(work: Promise<T>) => Promise<T>;
}

/** What the operations work on. */
export interface Service extends PoolService {
  /** The pool as dm would name it. */
  readonly poolName: string;
  /** dm-thin's own status line. */
  readonly statusLine: (info: PoolInfo) => string;
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

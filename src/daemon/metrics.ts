import { setImmediate as nextTurn } from 'node:timers/promises';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { version } from '../config/version.js';
import type { PoolFigures } from '../pool/figures.js';
import type { DeviceInfo, PoolInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import { DEVICE_FIGURES } from './device-metrics.js';
import type { CallRecord } from './dispatcher.js';
import type { EventHub } from './event-hub.js';

/** The sources of the figures, read when a client asks. */
export interface MetricsSource {
  readonly pool: Pick<ThinPool, 'info' | 'figures' | 'counts' | 'eachDevice'>;
  readonly mounted: () => number;
  readonly events: Pick<EventHub, 'counts'> | undefined;
}

/** Looked at once for all figures of a text. */
interface Now {
  readonly info: PoolInfo;
  readonly figures: PoolFigures;
}

const MODES: readonly PoolInfo['mode'][] = ['rw', 'out_of_data_space', 'ro', 'fail'];

/** Undefined: the figure is left out. */
type PoolFigure = readonly [name: string, help: string, value: (now: Now) => number | undefined];

const POOL_GAUGES: readonly PoolFigure[] = [
  [
    'remote_bytes',
    'Bytes that are in stores elsewhere and not here',
    ({ figures: { remote } }) => remote.remote,
  ],
  ['data_used_bytes', 'Data space in use', ({ info }) => info.dataUsed],
  ['data_total_bytes', 'Data space in all', ({ info }) => info.dataTotal],
  ['metadata_used_bytes', 'Metadata space in use', ({ info }) => info.metadataUsed],
  ['metadata_total_bytes', 'Metadata space in all', ({ info }) => info.metadataTotal],
  [
    'data_reserved_bytes',
    'Data space that has to be free for a new device (min_free_space)',
    ({ info }) => (info.dataTotal * info.options.minFreeSpace) / 100,
  ],
  [
    'autoextend_threshold_ratio',
    'Use from which the pool grows by itself; 1: it does not',
    ({ info }) => info.options.autoextendThreshold / 100,
  ],
  ['transaction_id', 'Transaction id of the pool', ({ info }) => info.transactionId],
  ['needs_check', '1 where the pool is marked needs_check', ({ info }) => Number(info.needsCheck)],
  ['pending_deletes', 'Removed devices whose space is coming back', ({ info }) => info.pendingDeletes],
  ['pending_bytes', 'Space of removed devices that is coming back', ({ figures }) => figures.pendingBytes],
  ['log_bytes', 'Bytes in the log that no commit has taken over', ({ figures }) => figures.logBytes],
  ['host_free_bytes', "Free space on the disk of the pool's folder", ({ figures }) => figures.host?.free],
  ['host_total_bytes', "Size of the disk of the pool's folder", ({ figures }) => figures.host?.total],
  [
    'host_floor_bytes',
    "Free space on the disk of the pool's folder below which writes are refused",
    ({ figures }) => figures.host?.floor,
  ],
  [
    'host_data_free_bytes',
    'Free space on the filesystem that has the data file',
    ({ figures }) => figures.dataFree,
  ],
];

const POOL_COUNTERS: readonly PoolFigure[] = [
  [
    'remote_fetched_bytes_total',
    'Bytes fetched from stores elsewhere',
    ({ figures: { remote } }) => remote.fetched,
  ],
  [
    'remote_failures_total',
    'Fetches from stores elsewhere that failed for good',
    ({ figures: { remote } }) => remote.failures,
  ],
  [
    'cache_hits_total',
    'Reads and writes that waited for no chunk from the store',
    ({ figures: { traffic, isCached } }) => (isCached ? traffic.hits : undefined),
  ],
  [
    'cache_misses_total',
    'Reads and writes that waited for a chunk from the store',
    ({ figures: { traffic, isCached } }) =>
      isCached ? traffic.reads + traffic.writes - traffic.hits : undefined,
  ],
];

/** A gauge or a counter that is asked for its figure anew each time. */
interface Figure {
  readonly name: string;
  readonly help: string;
  readonly labelNames: string[];
  readonly registers: Registry[];
  readonly collect: (this: Pick<Gauge, 'reset' | 'inc'>) => void;
}

/** Devices whose lines of one figure are a piece of the text: some ten KiB. */
const GROUP = 128;

async function* groupsOf(devices: AsyncIterable<DeviceInfo>): AsyncGenerator<readonly DeviceInfo[]> {
  let group: DeviceInfo[] = [];
  for await (const device of devices) {
    group.push(device);
    if (group.length < GROUP) continue;
    yield group;
    group = [];
  }
  yield group;
}

/** A daemon's figures in Prometheus' text format. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #pool: MetricsSource['pool'];
  #now: Now;
  readonly #calls: Counter<'operation' | 'outcome'>;
  readonly #seconds: Histogram<'operation'>;

  constructor({ pool, mounted, events }: MetricsSource) {
    this.#pool = pool;
    this.#now = { info: pool.info(), figures: pool.figures() };
    for (const [name, help, value] of POOL_GAUGES) this.#gauge(name, help, value);
    for (const [name, help, value] of POOL_COUNTERS) this.#counter(name, help, value);
    this.#gauge(
      'deferred_deleted_devices',
      'Devices marked deleted that wait for their last user',
      () => pool.counts().deleted,
    );
    this.#gauge('devices', 'Devices', () => pool.counts().devices);
    this.#gauge('active_devices', 'Devices with an image file', () => pool.counts().active);
    this.#gauge('mounted_devices', 'Devices that are mounted', mounted);
    this.#gauge('resident_memory_bytes', 'Memory of the daemon', () => process.memoryUsage.rss());
    this.#counter('cpu_seconds_total', 'Processor time of the daemon', () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    });
    const startedAt = Math.floor(Date.now() / 1000 - process.uptime());
    this.#gauge('start_time_seconds', 'Unix time at which the daemon was started', () => startedAt);
    this.#describeBuild();
    this.#describeTraffic();
    if (events !== undefined) this.#describeEvents(events);
    const registers = [this.#registry];
    this.#calls = new Counter({
      name: 'thinfuse_calls_total',
      help: 'Calls over the control socket by how they ended',
      labelNames: ['operation', 'outcome'],
      registers,
    });
    this.#seconds = new Histogram({
      name: 'thinfuse_call_seconds',
      help: 'How long calls over the control socket took',
      labelNames: ['operation'],
      buckets: [0.001, 0.01, 0.1, 1, 10],
      registers,
    });
  }

  noteCall({ operation, milliseconds, error }: CallRecord): void {
    this.#calls.inc({ operation, outcome: error === undefined ? 'ok' : 'error' });
    this.#seconds.observe({ operation }, milliseconds / 1000);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /**
   * In bounded steps, however many devices there are: the registry's own way is one step for each figure of
   * all devices.
   */
  async *pieces(): AsyncGenerator<string> {
    this.#now = { info: this.#pool.info(), figures: this.#pool.figures() };
    yield await this.#registry.metrics();
    const { isCached } = this.#now.figures;
    const told = DEVICE_FIGURES.filter(({ ofCache = false }) => isCached || !ofCache);
    const figures = told.map(({ name, help, type }) => [
      `\n# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`,
    ]);
    for await (const devices of groupsOf(this.#pool.eachDevice()))
      for (const [at, { name, values }] of told.entries()) {
        let lines = '';
        for (const device of devices)
          // Names and kinds have nothing in them that the format would escape.
          for (const [labels, value] of values(device))
            lines += `${name}{device="${device.name}",kind="${device.kind}"${labels}} ${value}\n`;
        figures[at]!.push(lines);
      }
    for (const pieces of figures)
      for (const piece of pieces) {
        yield piece;
        await nextTurn();
      }
  }

  /** All of `pieces`. */
  async text(): Promise<string> {
    const pieces: string[] = [];
    for await (const piece of this.pieces()) pieces.push(piece);
    return pieces.join('');
  }

  #gauge(name: string, help: string, value: (now: Now) => number | undefined): void {
    new Gauge({ ...this.#figure(name, help, value) });
  }

  #counter(name: string, help: string, value: (now: Now) => number | undefined): void {
    new Counter({ ...this.#figure(name, help, value) });
  }

  #figure(name: string, help: string, value: (now: Now) => number | undefined): Figure {
    const now = (): Now => this.#now;
    return {
      name: `thinfuse_${name}`,
      help,
      // Without a label there would be a 0 in place of what is left out.
      labelNames: ['none'],
      registers: [this.#registry],
      collect() {
        this.reset();
        const figure = value(now());
        if (figure !== undefined) this.inc(figure);
      },
    };
  }

  #describeBuild(): void {
    const build = new Gauge({
      name: 'thinfuse_build_info',
      help: '1; what the daemon is',
      labelNames: ['version', 'node', 'kind', 'uuid'],
      registers: [this.#registry],
    });
    const { kind, uuid } = this.#now.info;
    build.set({ version: version(), node: process.version, kind, uuid }, 1);
    const mode = (): string => this.#now.info.mode;
    new Gauge({
      name: 'thinfuse_mode',
      help: '1 for the mode that the pool is in',
      labelNames: ['mode'],
      registers: [this.#registry],
      collect() {
        for (const one of MODES) this.set({ mode: one }, Number(one === mode()));
      },
    });
  }

  #describeTraffic(): void {
    const now = (): PoolFigures['traffic'] => this.#now.figures.traffic;
    const counter = (
      name: string,
      help: string,
      values: (traffic: PoolFigures['traffic']) => Readonly<Record<string, number>>,
    ): void => {
      new Counter({
        name: `thinfuse_io_${name}_total`,
        help,
        labelNames: ['op'],
        registers: [this.#registry],
        collect() {
          this.reset();
          for (const [op, value] of Object.entries(values(now()))) this.inc({ op }, value);
        },
      });
    };
    counter('requests', 'Requests of all devices', ({ reads, writes, flushes }) => ({
      read: reads,
      write: writes,
      flush: flushes,
    }));
    counter('bytes', 'Bytes of the requests of all devices', ({ readBytes, writtenBytes }) => ({
      read: readBytes,
      write: writtenBytes,
    }));
    counter('seconds', 'How long requests took, summed', ({ readTime, writeTime, flushTime }) => ({
      read: readTime / 1000,
      write: writeTime / 1000,
      flush: flushTime / 1000,
    }));
  }

  #describeEvents(events: Pick<EventHub, 'counts'>): void {
    new Counter({
      name: 'thinfuse_events_total',
      help: 'Events since the start of the daemon',
      labelNames: ['event', 'level'],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { event, level, count } of events.counts()) this.inc({ event, level }, count);
      },
    });
  }
}

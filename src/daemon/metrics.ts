import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { DeviceInfo, PoolInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { CallRecord } from './dispatcher.js';
import type { EventHub } from './event-hub.js';

/** What the figures are taken from when they are asked for. */
export interface MetricsSource {
  readonly pool: Pick<ThinPool, 'info' | 'counts' | 'eachDevice'>;
  readonly mounted: () => number;
  readonly events: Pick<EventHub, 'counts'> | undefined;
}

const MODES: readonly PoolInfo['mode'][] = ['rw', 'out_of_data_space', 'ro', 'fail'];

/** A daemon's figures in Prometheus' text format. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #pool: MetricsSource['pool'];
  /** Looked at once for all figures of a text. */
  #now: PoolInfo;
  readonly #calls: Counter<'operation' | 'outcome'>;
  readonly #seconds: Histogram<'operation'>;

  constructor({ pool, mounted, events }: MetricsSource) {
    const registers = [this.#registry];
    this.#pool = pool;
    this.#now = pool.info();
    const info = (): PoolInfo => this.#now;
    const gauge = (name: string, help: string, value: () => number): void => {
      new Gauge({
        name: `thinfuse_${name}`,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    };
    gauge('data_used_bytes', 'Data space in use', () => info().dataUsed);
    gauge('data_total_bytes', 'Data space in all', () => info().dataTotal);
    gauge('metadata_used_bytes', 'Metadata space in use', () => info().metadataUsed);
    gauge('metadata_total_bytes', 'Metadata space in all', () => info().metadataTotal);
    gauge('transaction_id', 'Transaction id of the pool', () => info().transactionId);
    gauge('needs_check', '1 where the pool is marked needs_check', () => Number(info().needsCheck));
    gauge('pending_deletes', 'Removed devices whose space is coming back', () => info().pendingDeletes);
    gauge(
      'deferred_deleted_devices',
      'Devices marked deleted that wait for their last user',
      () => pool.counts().deleted,
    );
    gauge('active_devices', 'Devices with an image file', () => pool.counts().active);
    gauge('mounted_devices', 'Devices that are mounted', mounted);
    gauge('resident_memory_bytes', 'Memory of the daemon', () => process.memoryUsage.rss());
    new Gauge({
      name: 'thinfuse_mode',
      help: '1 for the mode that the pool is in',
      labelNames: ['mode'],
      registers,
      collect() {
        const { mode } = info();
        for (const one of MODES) this.set({ mode: one }, Number(one === mode));
      },
    });
    if (events !== undefined)
      new Gauge({
        name: 'thinfuse_events',
        help: 'Events since the start of the daemon',
        labelNames: ['event', 'level'],
        registers,
        collect() {
          for (const { event, level, count } of events.counts()) this.set({ event, level }, count);
        },
      });
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

  /** In bounded steps, however many devices there are: the registry's own way is one step for each figure of all devices. */
  async text(): Promise<string> {
    this.#now = this.#pool.info();
    const figures = DEVICE_FIGURES.map(({ name, help }) => [
      `# HELP ${name} ${help}\n# TYPE ${name} gauge\n`,
    ]);
    for await (const device of this.#pool.eachDevice())
      for (const [at, { name, value }] of DEVICE_FIGURES.entries()) {
        const figure = value(device);
        // Names and kinds have nothing in them that the format would escape.
        if (figure !== undefined)
          figures[at]!.push(`${name}{device="${device.name}",kind="${device.kind}"} ${figure}\n`);
      }
    return `${await this.#registry.metrics()}${figures.map((lines) => `\n${lines.join('')}`).join('')}`;
  }
}

interface DeviceFigure {
  readonly name: string;
  readonly help: string;
  readonly value: (device: DeviceInfo) => number | undefined;
}

const DEVICE_FIGURES: readonly DeviceFigure[] = [
  { name: 'thinfuse_device_size_bytes', help: 'Virtual size', value: ({ size }) => size },
  { name: 'thinfuse_device_mapped_bytes', help: 'What the device maps', value: ({ mapped }) => mapped },
  {
    name: 'thinfuse_device_exclusive_bytes',
    help: 'What only this device maps',
    value: ({ exclusive }) => exclusive,
  },
  { name: 'thinfuse_device_quota_bytes', help: 'What the device may map', value: ({ quota }) => quota },
];

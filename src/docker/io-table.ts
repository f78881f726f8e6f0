import { formatBinarySize } from '../config/sizes.js';
import { formatTable, type Column } from './table.js';

/** What a device has done since it became active. */
export interface IoCounts {
  readonly reads: number;
  readonly writes: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Spent in requests. */
  readonly readSeconds: number;
  readonly writeSeconds: number;
  /** Chunks that were in memory; undefined: the pool has no cache. */
  readonly hits: number | undefined;
}

/** What it does in a second, between two counts; times in milliseconds a request. */
export interface IoRates {
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  readonly readBytesPerSecond: number;
  readonly writtenBytesPerSecond: number;
  readonly readMilliseconds: number;
  readonly writeMilliseconds: number;
  /** Of reads and writes, 0 to 100. */
  readonly hitPercent: number | undefined;
}

const NOTHING: IoCounts = {
  reads: 0,
  writes: 0,
  readBytes: 0,
  writtenBytes: 0,
  readSeconds: 0,
  writeSeconds: 0,
  hits: 0,
};
const SAMPLE = /^thinfuse_device_(io_requests|io_bytes|io_seconds|cache_hits)_total\{(.*)\} (\S+)$/;

/** By device, from the daemon's figures in Prometheus' text format. */
export function ioCounts(metrics: string): ReadonlyMap<string, IoCounts> {
  const found = new Map<string, IoCounts>();
  for (const line of metrics.split('\n')) {
    const [, what, labels = '', value] = SAMPLE.exec(line) ?? [];
    const device = /device="((?:[^"\\]|\\.)*)"/.exec(labels)?.[1];
    if (what === undefined || device === undefined) continue;
    const key = keyOf(what, /op="(\w+)"/.exec(labels)?.[1]);
    if (key === undefined) continue;
    found.set(device, { ...(found.get(device) ?? { ...NOTHING, hits: undefined }), [key]: Number(value) });
  }
  return found;
}

function keyOf(what: string, operation: string | undefined): keyof IoCounts | undefined {
  if (what === 'cache_hits') return 'hits';
  const keys = {
    io_requests: { read: 'reads', write: 'writes' },
    io_bytes: { read: 'readBytes', write: 'writtenBytes' },
    io_seconds: { read: 'readSeconds', write: 'writeSeconds' },
  } as const;
  const of = keys[what as keyof typeof keys];
  return operation === 'read' || operation === 'write' ? of[operation] : undefined;
}

/**
 * @param seconds between the counts. A device that is new since `before`, or became active again, began at
 *   nothing
 */
export function ioRates(
  before: ReadonlyMap<string, IoCounts>,
  after: ReadonlyMap<string, IoCounts>,
  seconds: number,
): ReadonlyMap<string, IoRates> {
  return new Map(
    [...after].map(([device, now]) => {
      const last = before.get(device);
      const isAnew = last === undefined || now.reads < last.reads || now.writes < last.writes;
      const then = isAnew ? NOTHING : last;
      const reads = now.reads - then.reads;
      const writes = now.writes - then.writes;
      return [
        device,
        {
          readsPerSecond: reads / seconds,
          writesPerSecond: writes / seconds,
          readBytesPerSecond: (now.readBytes - then.readBytes) / seconds,
          writtenBytesPerSecond: (now.writtenBytes - then.writtenBytes) / seconds,
          readMilliseconds: reads === 0 ? 0 : ((now.readSeconds - then.readSeconds) * 1000) / reads,
          writeMilliseconds: writes === 0 ? 0 : ((now.writeSeconds - then.writeSeconds) * 1000) / writes,
          hitPercent:
            now.hits === undefined || reads + writes === 0
              ? undefined
              : Math.min(100, ((now.hits - (then.hits ?? 0)) / (reads + writes)) * 100),
        },
      ];
    }),
  );
}

/** One line a device, the busiest first. */
export function ioTable(rates: ReadonlyMap<string, IoRates>): string {
  const right = (title: string): Column => ({ title, right: true });
  const busy = ({ readsPerSecond, writesPerSecond }: IoRates): number => readsPerSecond + writesPerSecond;
  return formatTable(
    [{ title: 'NAME' }, ...['R/S', 'W/S', 'READ/S', 'WRITE/S', 'R-MS', 'W-MS', 'HIT%'].map(right)],
    [...rates]
      .sort(([, a], [, b]) => busy(b) - busy(a))
      .map(([name, each]) => [
        name,
        each.readsPerSecond.toFixed(1),
        each.writesPerSecond.toFixed(1),
        formatBinarySize(Math.round(each.readBytesPerSecond)),
        formatBinarySize(Math.round(each.writtenBytesPerSecond)),
        each.readMilliseconds.toFixed(2),
        each.writeMilliseconds.toFixed(2),
        each.hitPercent === undefined ? '-' : each.hitPercent.toFixed(0),
      ]),
  );
}

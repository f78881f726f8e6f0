import type { DeviceInfo, TrafficTotals } from '../pool/info.js';

export interface DeviceFigure {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  /**
   * Labels besides the device's name and kind, as they are written, and the value; none where the device has
   * no such figure.
   */
  readonly values: (device: DeviceInfo) => readonly (readonly [labels: string, value: number])[];
  /** It counts the chunk cache, which a direct pool does not have. */
  readonly ofCache?: boolean;
}

const READ = ',op="read"';
const WRITE = ',op="write"';
const FLUSH = ',op="flush"';

/** A figure of each device, in the order in which they are printed. */
export const DEVICE_FIGURES: readonly DeviceFigure[] = [
  gauge('size_bytes', 'Virtual size', ({ size }) => size),
  gauge('mapped_bytes', 'What the device maps', ({ mapped }) => mapped),
  gauge('exclusive_bytes', 'What only this device maps', ({ exclusive }) => exclusive),
  gauge('quota_bytes', 'What the device may map', ({ quota }) => quota),
  counter('io_requests', 'Requests since the device became active', ({ reads, writes, flushes }) => [
    [READ, reads],
    [WRITE, writes],
    [FLUSH, flushes],
  ]),
  counter('io_bytes', 'Bytes of these requests', ({ readBytes, writtenBytes }) => [
    [READ, readBytes],
    [WRITE, writtenBytes],
  ]),
  counter('io_seconds', 'How long these requests took, summed', ({ readTime, writeTime, flushTime }) => [
    [READ, readTime / 1000],
    [WRITE, writeTime / 1000],
    [FLUSH, flushTime / 1000],
  ]),
  {
    ...counter('cache_hits', 'Reads and writes that waited for no chunk from the store', ({ hits }) => [
      ['', hits],
    ]),
    ofCache: true,
  },
];

function gauge(name: string, help: string, value: (device: DeviceInfo) => number | undefined): DeviceFigure {
  return {
    name: `thinfuse_device_${name}`,
    help,
    type: 'gauge',
    values: (device) => {
      const figure = value(device);
      return figure === undefined ? [] : [['', figure]];
    },
  };
}

/** Of active devices. */
function counter(
  name: string,
  help: string,
  values: (traffic: TrafficTotals) => readonly (readonly [string, number])[],
): DeviceFigure {
  return {
    name: `thinfuse_device_${name}_total`,
    help,
    type: 'counter',
    values: ({ traffic }) => (traffic === undefined ? [] : values(traffic)),
  };
}

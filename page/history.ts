import { chartIn } from './charts.js';
import { colour, element, isDark, size, type UiHistory } from './state.js';

/** Milliseconds. */
const DAY = 24 * 60 * 60 * 1000;
/** A gap longer than this many samples is shown as one. */
const GAP = 3;

/** Space and requests of the last 24 hours. */
export class HistoryCharts {
  readonly #use = chartIn('use');
  readonly #io = chartIn('io');

  show(history: UiHistory): void {
    const { samples } = history;
    this.#use.setOption(
      {
        ...common(size),
        series: [
          line(
            'used',
            samples.map(({ time, used }) => [time, used]),
            true,
          ),
          line(
            'size',
            samples.map(({ time, total }) => [time, total]),
          ),
          line(
            'host disk, free',
            samples.map(({ time, hostFree }) => [time, hostFree ?? null]),
          ),
        ],
      },
      { notMerge: true },
    );
    const rates = ratesOf(history);
    this.#io.setOption(
      {
        ...common((bytes) => `${size(bytes)}/s`),
        series: [
          line(
            'read',
            rates.map(({ time, read }) => [time, read]),
          ),
          line(
            'written',
            rates.map(({ time, written }) => [time, written]),
          ),
        ],
      },
      { notMerge: true },
    );
    const last = samples.at(-1);
    const rate = rates.at(-1);
    element('use').setAttribute(
      'aria-label',
      last === undefined ? 'No samples yet' : `Now ${size(last.used)} of ${size(last.total)} are used`,
    );
    element('io').setAttribute(
      'aria-label',
      rate?.read == null
        ? 'No rate yet'
        : `Now ${size(rate.read)} a second are read, ${size(rate.written ?? 0)} written`,
    );
  }
}

interface Rate {
  readonly time: number;
  /** Bytes a second; null where nothing is known. */
  readonly read: number | null;
  readonly written: number | null;
}

/** A counter that is lower than before began anew with the daemon. */
function ratesOf({ samples, interval }: UiHistory): readonly Rate[] {
  return samples.slice(1).map((now, index) => {
    const before = samples[index]!;
    const seconds = (now.time - before.time) / 1000;
    if (seconds <= 0 || seconds * 1000 > GAP * interval) return { time: now.time, read: null, written: null };
    const rate = (to: number, from: number): number => (to < from ? to : to - from) / seconds;
    return {
      time: now.time,
      read: rate(now.readBytes, before.readBytes),
      written: rate(now.writtenBytes, before.writtenBytes),
    };
  });
}

function common(format: (value: number) => string): object {
  const text = { color: colour('faint') };
  const now = Date.now();
  return {
    animation: false,
    color: isDark.matches ? ['#6ea8fe', '#4ac26b', '#b392f0'] : ['#1f6feb', '#2da44e', '#8250df'],
    grid: { left: 72, right: 12, top: 28, bottom: 24 },
    legend: { top: 0, textStyle: { color: colour('ink') }, itemHeight: 10 },
    tooltip: {
      trigger: 'axis',
      valueFormatter: (value: number | null) => (value === null ? '–' : format(value)),
    },
    xAxis: {
      type: 'time',
      min: now - DAY,
      max: now,
      axisLabel: text,
      axisLine: { lineStyle: { color: colour('line') } },
    },
    yAxis: {
      type: 'value',
      min: 0,
      splitNumber: 4,
      // Marks below one byte would all have one label.
      minInterval: 1,
      axisLabel: { ...text, formatter: format },
      splitLine: { lineStyle: { color: colour('line') } },
    },
  };
}

function line(name: string, data: readonly (readonly [number, number | null])[], filled = false): object {
  return {
    name,
    type: 'line',
    showSymbol: data.length < 3,
    data,
    ...(filled ? { areaStyle: { opacity: 0.2 } } : {}),
  };
}

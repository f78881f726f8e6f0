import { chartIn } from './charts.js';
import { colour, element, isDark, size, type UiState } from './state.js';

/** What the pool's space is in, and below it the host's disk. */
export class SpaceBar {
  readonly #chart = chartIn('space');

  show({ pool, figures, devices }: UiState): void {
    const exclusive = devices.reduce((sum, device) => sum + device.exclusive, 0);
    const pending = Math.min(figures.pendingBytes, Math.max(0, pool.dataUsed - exclusive));
    const shared = Math.max(0, pool.dataUsed - exclusive - pending);
    const free = Math.max(0, pool.dataTotal - pool.dataUsed);
    const { host } = figures;
    const parts: readonly (readonly [name: string, bytes: number, row: 0 | 1, colour: string])[] = [
      ['exclusive', exclusive, 1, '#1f6feb'],
      ['shared', shared, 1, '#2da44e'],
      ['coming back', pending, 1, '#bf8700'],
      ['free', free, 1, isDark.matches ? '#39424c' : '#dfe3e8'],
      ['host disk, used', host === undefined ? 0 : host.total - host.free, 0, '#8250df'],
      ['host disk, free', host?.free ?? 0, 0, isDark.matches ? '#4a3d63' : '#e3d9f5'],
    ];
    const totals = [host?.total ?? 0, pool.dataTotal];
    const share = (bytes: number, row: 0 | 1): number => (100 * bytes) / Math.max(1, totals[row]!);
    const marks = [
      pool.autoextendThreshold < 100 ? [{ xAxis: pool.autoextendThreshold, name: 'grows by itself' }] : [],
      pool.minFreePercent > 0 ? [{ xAxis: 100 - pool.minFreePercent, name: 'no new devices' }] : [],
    ].flat();
    const floor = host === undefined ? [] : [{ xAxis: 100 - share(host.floor, 0), name: 'no more writes' }];
    const axis = (grid: number): object => ({ type: 'value', max: 100, show: false, gridIndex: grid });
    const row = (grid: number, name: string): object => ({
      type: 'category',
      gridIndex: grid,
      data: [name],
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { color: colour('ink') },
    });
    this.#chart.setOption(
      {
        animation: false,
        grid: [
          { left: 64, right: 40, top: 44, height: 24 },
          { left: 64, right: 40, top: 88, height: 24 },
        ],
        legend: { top: 0, left: 60, textStyle: { color: colour('ink') }, itemHeight: 10 },
        tooltip: {
          formatter: ({ seriesName, marker }: { seriesName: string; marker: string }) => {
            const part = parts.find(([name]) => name === seriesName);
            return part === undefined ? '' : `${marker}${part[0]}: ${size(part[1])}`;
          },
        },
        xAxis: [axis(0), axis(1)],
        yAxis: [row(0, 'pool'), row(1, 'host disk')],
        series: parts
          .filter(([name, bytes]) => bytes > 0 || name === 'free')
          .map(([name, bytes, of, fill]) => ({
            name,
            type: 'bar',
            stack: `space ${of}`,
            xAxisIndex: 1 - of,
            yAxisIndex: 1 - of,
            barWidth: 22,
            data: [share(bytes, of)],
            itemStyle: { color: fill },
            ...(name === 'free' ? { markLine: marked(marks) } : {}),
            ...(name === 'host disk, free' ? { markLine: marked(floor) } : {}),
          })),
      },
      { notMerge: true },
    );
    element('space').setAttribute(
      'aria-label',
      `Of ${size(pool.dataTotal)}: ${size(exclusive)} exclusive, ${size(shared)} shared, ${size(pending)} coming back, ${size(free)} free.${
        host === undefined ? '' : ` The host's disk has ${size(host.free)} of ${size(host.total)} free.`
      }`,
    );
  }
}

function marked(data: readonly object[]): object {
  return {
    symbol: 'none',
    silent: true,
    data,
    lineStyle: { color: colour('bad'), type: 'dashed' },
    label: { formatter: '{b}', color: colour('bad'), position: 'end', distance: 2 },
  };
}

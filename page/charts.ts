import { BarChart, CustomChart, LineChart } from 'echarts/charts';
import {
  AriaComponent,
  GridComponent,
  LegendComponent,
  MarkLineComponent,
  TooltipComponent,
} from 'echarts/components';
import { init, use, type EChartsType } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { element } from './state.js';

use([
  ...[BarChart, CustomChart, LineChart, SVGRenderer],
  ...[AriaComponent, GridComponent, LegendComponent, MarkLineComponent, TooltipComponent],
]);

/** A chart in the element of that id, which keeps to its size. */
export function chartIn(id: string): EChartsType {
  const place = element(id);
  const chart = init(place, undefined, { renderer: 'svg' });
  new ResizeObserver(() => {
    chart.resize();
  }).observe(place);
  return chart;
}

import { hierarchy, partition, type HierarchyRectangularNode } from 'd3-hierarchy';
import type { CustomSeriesRenderItemAPI, CustomSeriesRenderItemParams } from 'echarts';
import { chartIn } from './charts.js';
import { colour, element, size, type UiDevice } from './state.js';

interface Tree {
  readonly device: UiDevice | undefined;
  readonly children: Tree[];
}
type Node = HierarchyRectangularNode<Tree>;

const COLOURS: Readonly<Record<UiDevice['kind'], string>> = {
  base: '#57606a',
  image: '#8250df',
  container: '#1f6feb',
  snapshot: '#2da44e',
};
/** Of the whole width: what maps nothing is seen, too. */
const LEAST = 1 / 200;

/** The devices as an icicle: origins above what came from them. */
export class Lineage {
  readonly #chart = chartIn('lineage');
  readonly #onChosen: (device: UiDevice, descendants: number) => void;
  #nodes: readonly Node[] = [];
  #chosen: string | undefined;

  constructor(onChosen: (device: UiDevice, descendants: number) => void) {
    this.#onChosen = onChosen;
    this.#chart.on('click', ({ dataIndex }) => {
      this.choose(this.#nodes[dataIndex]?.data.device?.name);
      element('lineage').focus();
    });
    element('lineage').addEventListener('keydown', (event) => {
      const next = this.#neighbour(event.key);
      if (next?.data.device === undefined) return;
      event.preventDefault();
      this.choose(next.data.device.name);
    });
  }

  show(devices: readonly UiDevice[]): void {
    const root = hierarchy(treeOf(devices));
    const mapped = devices.reduce((sum, device) => sum + device.mapped, 0);
    root.sum(({ device }) => (device === undefined ? 0 : Math.max(device.mapped, mapped * LEAST, 1)));
    root.sort((a, b) => (b.value ?? 0) - (a.value ?? 0));
    const laid = partition<Tree>()(root);
    this.#nodes = laid.descendants().filter(({ data }) => data.device !== undefined);
    this.choose(this.#find(this.#chosen) === undefined ? 'base' : this.#chosen);
  }

  choose(name: string | undefined): void {
    const node = this.#find(name);
    if (node?.data.device === undefined) return;
    this.#chosen = name;
    this.#draw();
    this.#onChosen(node.data.device, node.descendants().length - 1);
  }

  #find(name: string | undefined): Node | undefined {
    return this.#nodes.find(({ data }) => data.device?.name === name);
  }

  #neighbour(key: string): Node | undefined {
    const node = this.#find(this.#chosen) ?? this.#nodes[0];
    const siblings = node?.parent?.children ?? [];
    const at = node === undefined ? -1 : siblings.indexOf(node);
    switch (key) {
      case 'ArrowUp':
        return node?.parent ?? undefined;
      case 'ArrowDown':
        return node?.children?.[0];
      case 'ArrowLeft':
        return siblings[at - 1];
      case 'ArrowRight':
        return siblings[at + 1];
      case 'Home':
        return this.#nodes[0];
      default:
        return undefined;
    }
  }

  #draw(): void {
    const deepest = Math.max(1, ...this.#nodes.map(({ depth }) => depth));
    this.#chart.setOption(
      {
        animation: false,
        grid: { left: 0, right: 0, top: 0, bottom: 0 },
        xAxis: { type: 'value', min: 0, max: 1, show: false },
        yAxis: { type: 'value', min: 0, max: Math.max(4, deepest), inverse: true, show: false },
        tooltip: { formatter: ({ dataIndex }: { dataIndex: number }) => this.#tooltip(dataIndex) },
        series: [
          {
            type: 'custom',
            encode: { x: [0, 1], y: [2] },
            data: this.#nodes.map(({ x0, x1, depth }) => [x0, x1, depth - 1]),
            renderItem: (params: CustomSeriesRenderItemParams, api: CustomSeriesRenderItemAPI) =>
              this.#rectangle(params.dataIndex, api),
          },
        ],
      },
      { notMerge: true },
    );
    const device = this.#find(this.#chosen)?.data.device;
    element('lineage').setAttribute(
      'aria-label',
      `${this.#nodes.length} devices by origin${device === undefined ? '' : `; chosen: ${device.name}, ${size(device.mapped)} mapped`}`,
    );
  }

  #tooltip(index: number): string {
    const device = this.#nodes[index]?.data.device;
    return device === undefined ? '' : `${device.name}: ${size(device.mapped)} mapped`;
  }

  #rectangle(index: number, api: CustomSeriesRenderItemAPI): object {
    const [left, top] = api.coord([api.value(0), api.value(2)]) as [number, number];
    const [right, bottom] = api.coord([api.value(1), Number(api.value(2)) + 1]) as [number, number];
    const device = this.#nodes[index]!.data.device!;
    const isChosen = device.name === this.#chosen;
    const width = Math.max(1, right - left - 1);
    return {
      type: 'rect',
      shape: { x: left, y: top, width, height: Math.max(1, bottom - top - 1), r: 2 },
      style: {
        fill: COLOURS[device.kind],
        opacity: device.deleted ? 0.4 : 1,
        stroke: isChosen ? colour('ink') : 'none',
        lineWidth: isChosen ? 3 : 0,
      },
      textContent: {
        style: {
          text: width < 24 ? '' : `${device.mountPoint === undefined ? '' : '● '}${device.name}`,
          fill: '#ffffff',
          width: width - 8,
          overflow: 'truncate',
        },
      },
      textConfig: { position: 'inside' },
    };
  }
}

/** Devices whose origin is gone hang on the root, beside the base device. */
function treeOf(devices: readonly UiDevice[]): Tree {
  const root: Tree = { device: undefined, children: [] };
  const trees = new Map(
    devices.map((device) => [device.id, { device, children: [] } satisfies Tree as Tree]),
  );
  for (const tree of trees.values()) (trees.get(tree.device?.origin ?? 0) ?? root).children.push(tree);
  return root;
}

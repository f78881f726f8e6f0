import type { NodeLoader } from '../btree/node-source.js';
import { refuse, walk } from '../btree/walk.js';
import type { DeviceRecord } from '../format/device-record.js';
import type { DeviceId, NodeId } from '../format/ids.js';

/** Chunks `begin` up to and without `end`. */
export interface ChunkRegion {
  readonly begin: number;
  readonly end: number;
}

/** Consecutive chunks that consecutive blocks of one device map to. */
export interface ReverseRun {
  readonly chunk: number;
  readonly length: number;
  readonly device: DeviceId;
  readonly block: number;
}

/**
 * The devices that map the chunks of some regions (thin_rmap), ascending by chunk, then by device. A shared
 * node is read again for each device only if it leads into a region.
 * @throws ThinError damaged, wrong-version
 */
export async function reverseMap(
  view: { readonly devices: readonly DeviceRecord[]; readonly nodes: NodeLoader },
  regions: readonly ChunkRegion[],
): Promise<readonly ReverseRun[]> {
  const finder = new Finder(view.nodes, regions);
  for (const { id, root } of view.devices) await finder.search(id, root);
  return finder.runs.sort((x, y) => x.chunk - y.chunk || x.device - y.device || x.block - y.block);
}

class Finder {
  readonly runs: ReverseRun[] = [];
  readonly #nodes: NodeLoader;
  readonly #regions: readonly ChunkRegion[];
  /** Nodes below which nothing maps into a region. */
  readonly #barren = new Set<NodeId>();
  #run: { chunk: number; length: number; device: DeviceId; block: number } | undefined;
  #found = 0;

  constructor(nodes: NodeLoader, regions: readonly ChunkRegion[]) {
    this.#nodes = nodes;
    this.#regions = regions;
  }

  async search(device: DeviceId, root: NodeId): Promise<void> {
    // How many were found before each node that the walk is below.
    const before: number[] = [];
    const nodes = walk(this.#nodes, root, {
      enter: (id) => !this.#barren.has(id),
      leave: ({ id }) => {
        if (before.pop() === this.#found) this.#barren.add(id);
      },
      damaged: refuse,
    });
    for await (const node of nodes) {
      before.push(this.#found);
      if (!node.isLeaf) continue;
      for (let i = 0; i < node.count; i++)
        if (this.#wanted(node.a[i]!)) this.#add(device, node.keys[i]!, node.a[i]!);
    }
    this.#endRun();
  }

  #wanted(chunk: number): boolean {
    return this.#regions.some(({ begin, end }) => chunk >= begin && chunk < end);
  }

  #add(device: DeviceId, block: number, chunk: number): void {
    this.#found++;
    const run = this.#run;
    if (run !== undefined && block === run.block + run.length && chunk === run.chunk + run.length) {
      run.length++;
      return;
    }
    this.#endRun();
    this.#run = { chunk, length: 1, device, block };
  }

  #endRun(): void {
    if (this.#run !== undefined) this.runs.push(this.#run);
    this.#run = undefined;
  }
}

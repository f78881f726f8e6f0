import { setImmediate as nextTurn } from 'node:timers/promises';
import type { NodeReader } from '../btree/node-source.js';
import type { DeviceRecord } from '../format/device-record.js';
import { damage } from '../format/damage.js';
import type { DeviceId, NodeId } from '../format/ids.js';
import { describeKey, nodeKey } from '../format/keys.js';

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

const NODES_PER_TURN = 64;

/**
 * Who maps the chunks of some regions (thin_rmap), ascending by chunk, then by device. What several devices share is read again for each of
 * them only where it leads into a region.
 * @throws ThinError damaged, wrong-version
 */
export async function reverseMap(
  view: { readonly devices: readonly DeviceRecord[]; readonly nodes: NodeReader },
  regions: readonly ChunkRegion[],
): Promise<readonly ReverseRun[]> {
  const finder = new Finder(view.nodes, regions);
  for (const { id, root } of view.devices) await finder.search(id, root);
  return finder.runs.sort((x, y) => x.chunk - y.chunk || x.device - y.device || x.block - y.block);
}

class Finder {
  readonly runs: ReverseRun[] = [];
  readonly #nodes: NodeReader;
  readonly #regions: readonly ChunkRegion[];
  /** Nodes below which nothing maps into a region. */
  readonly #barren = new Set<NodeId>();
  #run: { chunk: number; length: number; device: DeviceId; block: number } | undefined;
  #read = 0;

  constructor(nodes: NodeReader, regions: readonly ChunkRegion[]) {
    this.#nodes = nodes;
    this.#regions = regions;
  }

  async search(device: DeviceId, root: NodeId): Promise<void> {
    await this.#below(device, root);
    this.#endRun();
  }

  /** @returns whether anything below maps into a region */
  async #below(device: DeviceId, id: NodeId, level?: number): Promise<boolean> {
    if (this.#barren.has(id)) return false;
    const node = this.#nodes.read(id);
    if (level !== undefined && node.level !== level)
      throw damage(
        describeKey(nodeKey(id)),
        `it does not have the level ${String(level)} that belongs there`,
      );
    if (++this.#read % NODES_PER_TURN === 0) await nextTurn();
    let found = false;
    for (let i = 0; i < node.count; i++) {
      if (!node.isLeaf) found = (await this.#below(device, node.child(i), node.level - 1)) || found;
      else if (this.#wanted(node.a[i]!)) {
        found = true;
        this.#add(device, node.keys[i]!, node.a[i]!);
      }
    }
    if (!found) this.#barren.add(id);
    return found;
  }

  #wanted(chunk: number): boolean {
    return this.#regions.some(({ begin, end }) => chunk >= begin && chunk < end);
  }

  #add(device: DeviceId, block: number, chunk: number): void {
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

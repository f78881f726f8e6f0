import type { DeviceDetails } from '../device-details.js';
import { dataBlockOf } from '../mapping-value.js';
import { ToolFault } from './tool-blocks.js';
import { ToolSpaceMap } from './tool-counts.js';
import type { ToolMetadata } from './tool-metadata.js';

const DAMAGE = 'metadata contains errors (run thin_check for details).';

/** A device as thin_ls has it. Blocks. */
export interface ListedDevice {
  readonly id: number;
  readonly details: DeviceDetails;
  /** Blocks that no other device maps; undefined: not asked for. */
  readonly exclusive: number | undefined;
  /** The last block that is mapped; -1: none; undefined: not asked for. */
  readonly highest: number | undefined;
}

/**
 * As thin_ls 0.9 does: the record says what is mapped. `window`: data blocks that are counted at once; what
 * lies behind the first window is walked again. @throws ToolFault
 */
export function thinLs(
  metadata: ToolMetadata,
  { walk, window = WINDOW }: { readonly walk: boolean; readonly window?: number | undefined },
): readonly ListedDevice[] {
  if (metadata.superblock.block === 0)
    new ToolSpaceMap(metadata.blocks, metadata.superblock.metadataSpaceMap);
  const onDamage = (): never => {
    throw new ToolFault(DAMAGE);
  };
  const details = metadata.details(false, onDamage);
  if (!walk)
    return [...details].map(([id, its]) => ({
      id,
      details: its,
      exclusive: undefined,
      highest: undefined,
    }));
  const ids = [...details.keys()];
  const walkDevice = (id: number, onData: (data: number) => void): number => {
    const root = metadata.rootOf(id);
    if (root === undefined) throw new ToolFault("couldn't find mapping tree root");
    let highest = -1;
    for (const { node } of metadata.mappings(root, false, onDamage)) {
      for (let index = 0; index < node.count; index++) onData(dataBlockOf(node.low(index), node.high(index)));
      if (node.count > 0) highest = node.key(node.count - 1);
    }
    return highest;
  };
  const windows = new Set<number>();
  const exclusive = ids.map(() => 0);
  let highest: readonly number[] = [];
  const count = (number: number, onOther: (number: number) => void): void => {
    const uses = new Uses();
    const inWindow = (onData: (data: number) => void) => (data: number) => {
      const its = Math.floor(data / window);
      if (its === number) onData(data % window);
      else onOther(its);
    };
    for (const id of ids)
      walkDevice(
        id,
        inWindow((data) => uses.add(data)),
      );
    highest = ids.map((id, index) =>
      walkDevice(
        id,
        inWindow((data) => {
          if (uses.isOnce(data)) exclusive[index]!++;
        }),
      ),
    );
  };
  count(0, (other) => windows.add(other));
  for (const number of windows) count(number, () => undefined);
  return [...details].map(([id, its], index) => ({
    id,
    details: its,
    exclusive: exclusive[index],
    highest: highest[index],
  }));
}

/** Data blocks that are counted at once, so that memory does not grow with the pool: 8 TiB of 64 KiB each. */
const WINDOW = 2 ** 27;
const PAGE = 2 ** 16;

/** Whether a number came once or more often. */
class Uses {
  /** Of PAGE numbers each, two bits a number. */
  readonly #pages: (Uint8Array | undefined)[] = [];

  add(value: number): void {
    const page = (this.#pages[Math.floor(value / PAGE)] ??= new Uint8Array(PAGE / 4));
    const at = (value % PAGE) >>> 2;
    const shift = (value & 3) * 2;
    if (((page[at]! >>> shift) & 2) === 0) page[at]! += 1 << shift;
  }

  isOnce(value: number): boolean {
    const page = this.#pages[Math.floor(value / PAGE)];
    return page !== undefined && ((page[(value % PAGE) >>> 2]! >>> ((value & 3) * 2)) & 3) === 1;
  }
}

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
  /** Blocks that no other device maps; undefined where nobody asked. */
  readonly exclusive: number | undefined;
  /** The last block that is mapped; -1 where none is; undefined where nobody asked. */
  readonly highest: number | undefined;
}

/** As thin_ls 0.9 does: the record says what is mapped. @throws ToolFault */
export function thinLs(
  metadata: ToolMetadata,
  { walk }: { readonly walk: boolean },
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
  const uses = new Uses();
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
  for (const id of details.keys()) walkDevice(id, (data) => uses.add(data));
  return [...details].map(([id, its]) => {
    let exclusive = 0;
    const highest = walkDevice(id, (data) => {
      if (uses.isOnce(data)) exclusive++;
    });
    return { id, details: its, exclusive, highest };
  });
}

/** Whether a number came once or more often. */
class Uses {
  /** By thousands of numbers, two bits each; numbers may be anything below 2^40. */
  readonly #pages = new Map<number, Uint8Array>();
  #last: { readonly number: number; readonly page: Uint8Array } | undefined;

  add(value: number): void {
    const page = this.#page(value);
    const at = value % PAGE;
    if (page[at]! < 2) page[at]!++;
  }

  isOnce(value: number): boolean {
    return this.#page(value)[value % PAGE] === 1;
  }

  #page(value: number): Uint8Array {
    const number = Math.floor(value / PAGE);
    if (this.#last?.number === number) return this.#last.page;
    let page = this.#pages.get(number);
    if (page === undefined) this.#pages.set(number, (page = new Uint8Array(PAGE)));
    this.#last = { number, page };
    return page;
  }
}

const PAGE = 2 ** 16;

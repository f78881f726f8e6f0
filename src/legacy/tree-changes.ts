import type { LegacyTree, LostRange } from './legacy-tree.js';
import { dataBlockOf } from './mapping-value.js';
import type { MappedRun } from '../transfer/copy-pieces.js';

/** What makes one device of another: blocks to write, or to unmap. In blocks. */
export type DeviceChange =
  | ({ readonly kind: 'write' } & MappedRun)
  | { readonly kind: 'unmap'; readonly begin: number; readonly length: number };

export interface ChangeOptions {
  readonly dataBlocks: number;
  /**
   * Told of what cannot be read in either tree; it counts as not mapped. Without it, damage ends the walk.
   */
  readonly onLost?: ((lost: LostRange) => void) | undefined;
  /** Neither tree is damaged, as a whole walk has shown. */
  readonly sound: boolean;
}

/**
 * Ascending. In sound trees, subtrees that both hold are left out unread: keys are absolute, so a node means
 * the same wherever it hangs, and the cost is that of the internal nodes and of the leaves that differ.
 * `from` undefined: an empty device.
 */
export function* treeChanges(
  from: LegacyTree | undefined,
  to: LegacyTree,
  options: ChangeOptions,
): Generator<DeviceChange> {
  const skipping = from !== undefined && options.sound;
  const before = from === undefined ? nothing() : entries(from, skipping ? to.blocks() : undefined, options);
  const after = entries(to, skipping ? from.blocks() : undefined, options);
  let run: Mutable<DeviceChange> | undefined;
  for (const change of compare(before, after)) {
    if (run !== undefined && follows(run, change)) {
      run.length++;
      continue;
    }
    if (run !== undefined) yield run;
    run = change;
  }
  if (run !== undefined) yield run;
}

type Mutable<T> = T extends unknown ? { -readonly [K in keyof T]: T[K] } : never;

interface Entry {
  readonly block: number;
  readonly data: number;
}

function* nothing(): Generator<Entry> {
  // Nothing is mapped.
}

/** Single blocks that differ. */
function* compare(before: Generator<Entry>, after: Generator<Entry>): Generator<Mutable<DeviceChange>> {
  let old = before.next();
  let now = after.next();
  while (old.done !== true || now.done !== true) {
    const order =
      old.done === true ? 1 : now.done === true ? -1 : Math.sign(old.value.block - now.value.block);
    if (order < 0 && old.done !== true) yield { kind: 'unmap', begin: old.value.block, length: 1 };
    if (order >= 0 && now.done !== true) {
      const same = order === 0 && old.done !== true && old.value.data === now.value.data;
      if (!same) yield { kind: 'write', begin: now.value.block, data: now.value.data, length: 1 };
    }
    if (order <= 0) old = before.next();
    if (order >= 0) now = after.next();
  }
}

function follows(run: DeviceChange, next: DeviceChange): boolean {
  if (next.begin !== run.begin + run.length) return false;
  if (run.kind === 'unmap' || next.kind === 'unmap') return run.kind === next.kind;
  return next.data === run.data + run.length;
}

function* entries(
  tree: LegacyTree,
  common: ReadonlySet<number> | undefined,
  { dataBlocks, onLost }: ChangeOptions,
): Generator<Entry> {
  const skip = common === undefined ? undefined : (block: number): boolean => common.has(block);
  for (const { node, first, end } of tree.leaves({ onLost, ...(skip === undefined ? {} : { skip }) }))
    for (let index = first; index < end; index++) {
      const data = dataBlockOf(node.low(index), node.high(index));
      if (data < dataBlocks) yield { block: node.keys[index]!, data };
    }
}

import { METADATA_BLOCK } from '../disk-block.js';
import { SeenBlocks } from './seen-blocks.js';
import { ToolFault, type ToolBlocks } from './tool-blocks.js';
import { keyBehind, nodeProblem, ToolNode, type Key } from './tool-node.js';

/** Keys above the leaves' own: of a mapping tree, the device. */
export type TreePath = readonly Key[];

export interface TreeShape {
  /** Trees of trees have 2: the values of the upper one are roots. */
  readonly levels: 1 | 2;
  readonly valueSize: number;
  /** Nodes with too few or too many entries are passed over. */
  readonly ignoreNonFatal?: boolean;
}

/** Keys that are lost, as `[begin, end]` of which `end` is not lost; `-` is what has no bound. */
export type OnDamage = (path: TreePath, lost: string, problem: string) => void;

/** A sound leaf of the lowest level; its node is true until the next one is asked for. */
export interface ToolLeaf {
  readonly path: TreePath;
  readonly node: ToolNode;
}

/** Where a node is: how deep in its tree, and by which key the walk came. */
interface Place {
  readonly path: TreePath;
  readonly depth: number;
  readonly key: Key | undefined;
}

/** A node whose children are walked. */
interface Parent {
  readonly node: ToolNode;
  readonly place: Place;
  /** The next child's. */
  index: number;
}

/**
 * Walks a tree as thin-provisioning-tools 0.9 do (`btree_damage_visitor`): a node that was seen is passed
 * over, also where another device has it.
 */
export class ToolWalk {
  readonly #blocks: ToolBlocks;
  readonly #shape: TreeShape;
  readonly #onDamage: OnDamage;
  readonly #seen: SeenBlocks;
  /** By nesting, the bytes of the node: nodes beside each other take turns. */
  readonly #buffers: Buffer[] = [];
  /** By level, the last key of the leaf before. */
  readonly #lastKeys: (Key | undefined)[] = [];
  #path: TreePath = [];
  #isDamaged = false;
  #damageBegin: Key = 0;
  #problems = '';

  constructor(blocks: ToolBlocks, shape: TreeShape, onDamage: OnDamage) {
    this.#blocks = blocks;
    this.#seen = new SeenBlocks(blocks.count);
    this.#shape = shape;
    this.#onDamage = onDamage;
  }

  /** In order. Once. */
  *leaves(root: number): Generator<ToolLeaf> {
    // Not by generators in each other: two for each leaf took as long as reading it.
    const parents: Parent[] = [];
    let block = root;
    let place: Place = { path: [], depth: 0, key: undefined };
    for (;;) {
      const node = this.#open(block, place, parents.length);
      if (node !== undefined) {
        if (node.isInternal || this.#isUpper(place)) parents.push({ node, place, index: 0 });
        else yield { path: place.path, node };
      }
      while (parents.length > 0 && parents.at(-1)!.index >= parents.at(-1)!.node.count) parents.pop();
      const parent = parents.at(-1);
      if (parent === undefined) break;
      block = parent.node.block(parent.index);
      place = childOf(parent);
      parent.index++;
    }
    this.#endOf(this.#path);
  }

  /** What is to be walked or told; undefined where it is damaged or was seen. */
  #open(block: number, place: Place, nesting: number): ToolNode | undefined {
    try {
      const bytes = (this.#buffers[nesting] ??= Buffer.allocUnsafe(METADATA_BLOCK));
      const node = new ToolNode(this.#blocks, block, bytes);
      this.#enter(place.path);
      if (!this.#isSound(node, place)) return undefined;
      if (node.isInternal) this.#good(node.exactKey(0), node.exactKey(0));
      else if (node.count > 0) {
        const last = node.exactKey(node.count - 1);
        this.#lastKeys[place.path.length] = last;
        this.#good(node.exactKey(0), keyBehind(last));
      }
      if (node.isInternal)
        for (let index = 0; index < node.count; index++) this.#blocks.requireThere(node.block(index));
      return node;
    } catch (error) {
      if (!(error instanceof ToolFault)) throw error;
      this.#enter(place.path);
      this.#report(error.message);
      return undefined;
    }
  }

  /** Whether the leaves there are of trees of trees, and their values roots. */
  #isUpper({ path }: Place): boolean {
    return path.length < this.#shape.levels - 1;
  }

  #isSound(node: ToolNode, place: Place): boolean {
    const { depth, key } = place;
    const level = place.path.length;
    if (depth === 0) this.#lastKeys[level] = undefined;
    if (!this.#seen.add(node.location)) return false;
    const problem = nodeProblem(node, {
      valueSize: node.isInternal || this.#isUpper(place) ? 8 : this.#shape.valueSize,
      isRoot: depth === 0,
      parentKey: depth === 0 ? undefined : key,
      lastKey: node.isInternal ? undefined : this.#lastKeys[level],
      ignoreNonFatal: this.#shape.ignoreNonFatal === true,
    });
    if (problem !== undefined) this.#report(problem);
    return problem === undefined;
  }

  /** What was met on another path belongs to that one. */
  #enter(path: TreePath): void {
    if (isSame(path, this.#path)) return;
    const before = this.#path;
    this.#path = path;
    this.#endOf(before);
  }

  #report(problem: string): void {
    this.#problems += problem;
    this.#isDamaged = true;
  }

  #good(begin: Key, end: Key): void {
    if (this.#isDamaged) this.#issue(this.#path, `[${this.#damageBegin}, ${begin}]`);
    this.#damageBegin = end;
  }

  #endOf(path: TreePath): void {
    if (this.#isDamaged) this.#issue(path, `[${this.#damageBegin}, -]`);
    this.#damageBegin = 0;
  }

  #issue(path: TreePath, lost: string): void {
    this.#isDamaged = false;
    const problems = this.#problems;
    this.#problems = '';
    this.#onDamage(path, lost, problems);
  }
}

function childOf({ node, place: { path, depth }, index }: Parent): Place {
  const key = node.exactKey(index);
  if (node.isInternal) return { path, depth: depth + 1, key };
  return { path: [...path, key], depth: 0, key: undefined };
}

function isSame(a: TreePath, b: TreePath): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((key, index) => key === b[index]);
}

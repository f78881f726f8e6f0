import { SeenBlocks } from './seen-blocks.js';
import { ToolFault, type ToolBlocks } from './tool-blocks.js';
import { keyBehind, nodeProblem, NO_KEY, ToolNode, type Key } from './tool-node.js';

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

/** A node whose children are walked, and how deep in its tree it is. */
interface Parent {
  readonly node: ToolNode;
  readonly path: TreePath;
  readonly depth: number;
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
  /** By nesting, the node: nodes beside each other take turns. */
  readonly #nodes: ToolNode[] = [];
  /** By level, the last key of the leaf before; -1: none was. */
  readonly #lastKeys: Key[] = [];
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
    let [block, path, depth, key]: [number, TreePath, number, Key] = [root, [], 0, 0];
    for (;;) {
      const node = this.#open(block, parents.length, path, depth, key);
      if (node !== undefined) {
        if (node.isInternal || this.#isUpper(path)) parents.push({ node, path, depth, index: 0 });
        else yield { path, node };
      }
      while (parents.length > 0 && parents.at(-1)!.index >= parents.at(-1)!.node.count) parents.pop();
      const parent = parents.at(-1);
      if (parent === undefined) break;
      const index = parent.index++;
      block = parent.node.block(index);
      key = parent.node.exactKey(index);
      path = parent.node.isInternal ? parent.path : [...parent.path, key];
      depth = parent.node.isInternal ? parent.depth + 1 : 0;
    }
    this.#endOf(this.#path);
  }

  /** What is to be walked or told; undefined where it is damaged or was seen. `key`: the walk came by it. */
  #open(block: number, nesting: number, path: TreePath, depth: number, key: Key): ToolNode | undefined {
    try {
      const node = (this.#nodes[nesting] ??= new ToolNode());
      node.read(this.#blocks, block);
      if (path !== this.#path) this.#enter(path);
      if (!this.#isSound(node, path.length, depth, key)) return undefined;
      this.#followed(node, path.length);
      return node;
    } catch (error) {
      if (!(error instanceof ToolFault)) throw error;
      this.#enter(path);
      this.#report(error.message);
      return undefined;
    }
  }

  /** Whether the leaves there are of trees of trees, and their values roots. */
  #isUpper(path: TreePath): boolean {
    return path.length < this.#shape.levels - 1;
  }

  #isSound(node: ToolNode, level: number, depth: number, key: Key): boolean {
    if (depth === 0) this.#lastKeys[level] = NO_KEY;
    if (!this.#seen.add(node.location)) return false;
    const { levels, valueSize, ignoreNonFatal } = this.#shape;
    const problem = nodeProblem(
      node,
      node.isInternal || level < levels - 1 ? 8 : valueSize,
      depth === 0,
      depth === 0 ? NO_KEY : key,
      node.isInternal ? NO_KEY : this.#lastKeys[level]!,
      ignoreNonFatal === true,
    );
    if (problem !== undefined) this.#report(problem);
    return problem === undefined;
  }

  /** Up to where nothing is lost. @throws ToolFault: a child lies behind the end */
  #followed(node: ToolNode, level: number): void {
    if (node.isInternal) {
      const first = node.exactKey(0);
      this.#good(first, first);
      node.requireFits();
      for (let index = 0; index < node.count; index++) this.#blocks.requireThere(node.block(index));
    } else if (node.count > 0) {
      const last = node.exactKey(node.count - 1);
      this.#lastKeys[level] = last;
      this.#good(node.exactKey(0), keyBehind(last));
      node.requireFits();
    }
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

function isSame(a: TreePath, b: TreePath): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((key, index) => key === b[index]);
}

/** Ends a walk at its first damage. */
export class Stop extends Error {}

/** Whether a walk meets no damage; the first ends it, unless it is passed over. */
export function untilDamage(walk: (onDamage: () => void) => void, passOver: boolean): boolean {
  try {
    walk(() => {
      if (!passOver) throw new Stop();
    });
    return true;
  } catch (error) {
    if (error instanceof Stop) return false;
    throw error;
  }
}

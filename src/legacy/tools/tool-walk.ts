import { SeenBlocks } from './seen-blocks.js';
import { ToolFault, type ToolBlocks } from './tool-blocks.js';
import { nodeProblem, ToolNode } from './tool-node.js';

/** Keys above the leaves' own: of a mapping tree, the device. */
export type TreePath = readonly bigint[];

export interface TreeShape {
  /** Trees of trees have 2: the values of the upper one are roots. */
  readonly levels: 1 | 2;
  readonly valueSize: number;
  /** Nodes with too few or too many entries are passed over. */
  readonly ignoreNonFatal?: boolean;
}

/** Keys that are lost, as `[begin, end]` of which `end` is not lost; `-` is what has no bound. */
export type OnDamage = (path: TreePath, lost: string, problem: string) => void;

/** A sound leaf of the lowest level. */
export interface ToolLeaf {
  readonly path: TreePath;
  readonly node: ToolNode;
}

/** Where a walk is: how deep in its tree, and by which key it came. */
interface Place {
  readonly path: TreePath;
  readonly depth: number;
  readonly key: bigint | undefined;
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
  /** By level, the last key of the leaf before. */
  readonly #lastKeys: (bigint | undefined)[] = [];
  #path: TreePath = [];
  #isDamaged = false;
  #damageBegin = 0n;
  #problems = '';

  constructor(blocks: ToolBlocks, shape: TreeShape, onDamage: OnDamage) {
    this.#blocks = blocks;
    this.#seen = new SeenBlocks(blocks.count);
    this.#shape = shape;
    this.#onDamage = onDamage;
  }

  /** In order. Once. */
  *leaves(root: number): Generator<ToolLeaf> {
    yield* this.#walk(root, { path: [], depth: 0, key: undefined });
    this.#endOf(this.#path);
  }

  *#walk(block: number, place: Place): Generator<ToolLeaf> {
    try {
      yield* this.#visit(new ToolNode(this.#blocks, block), place);
    } catch (error) {
      if (!(error instanceof ToolFault)) throw error;
      this.#enter(place.path);
      this.#report(error.message);
    }
  }

  *#visit(node: ToolNode, { path, depth, key }: Place): Generator<ToolLeaf> {
    this.#enter(path);
    const isUpper = path.length < this.#shape.levels - 1;
    if (!this.#isSound(node, { path, depth, key })) return;
    if (node.isInternal) {
      this.#good(node.exactKey(0), node.exactKey(0));
      for (let index = 0; index < node.count; index++) this.#blocks.requireThere(node.block(index));
      for (let index = 0; index < node.count; index++)
        yield* this.#walk(node.block(index), { path, depth: depth + 1, key: node.exactKey(index) });
      return;
    }
    if (node.count > 0) {
      const last = node.exactKey(node.count - 1);
      this.#lastKeys[path.length] = last;
      this.#good(node.exactKey(0), BigInt.asUintN(64, last + 1n));
    }
    if (!isUpper) {
      yield { path, node };
      return;
    }
    for (let index = 0; index < node.count; index++)
      yield* this.#walk(node.block(index), {
        path: [...path, node.exactKey(index)],
        depth: 0,
        key: undefined,
      });
  }

  #isSound(node: ToolNode, { path, depth, key }: Place): boolean {
    const level = path.length;
    if (depth === 0) this.#lastKeys[level] = undefined;
    if (!this.#seen.add(node.location)) return false;
    const isUpper = level < this.#shape.levels - 1;
    const problem = nodeProblem(node, {
      valueSize: node.isInternal || isUpper ? 8 : this.#shape.valueSize,
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

  #good(begin: bigint, end: bigint): void {
    if (this.#isDamaged) this.#issue(this.#path, `[${this.#damageBegin}, ${begin}]`);
    this.#damageBegin = end;
  }

  #endOf(path: TreePath): void {
    if (this.#isDamaged) this.#issue(path, `[${this.#damageBegin}, -]`);
    this.#damageBegin = 0n;
  }

  #issue(path: TreePath, lost: string): void {
    this.#isDamaged = false;
    const problems = this.#problems;
    this.#problems = '';
    this.#onDamage(path, lost, problems);
  }
}

function isSame(a: TreePath, b: TreePath): boolean {
  return a.length === b.length && a.every((key, index) => key === b[index]);
}

import type { NodeLoader } from '../btree/node-source.js';
import { KEYS, requirePlace } from '../btree/place.js';
import { leaves } from '../btree/walk.js';
import type { NodeId } from '../format/ids.js';
import type { TreeNode } from '../format/node.js';

/**
 * Virtual blocks from `begin` that stand alike in two devices, with the chunks that their first one maps to.
 */
export type DeltaRange =
  | { readonly kind: 'same'; readonly begin: number; readonly length: number; readonly chunk: number }
  | {
      readonly kind: 'different';
      readonly begin: number;
      readonly length: number;
      readonly left: number;
      readonly right: number;
    }
  | {
      readonly kind: 'left_only' | 'right_only';
      readonly begin: number;
      readonly length: number;
      readonly chunk: number;
    };

/**
 * Where two trees map alike and where not, ascending, in ranges as long as both sides go on chunk by chunk
 * (thin_delta --verbose). A subtree that both have is read once, and not at all with `changesOnly`, so that
 * the cost is that of what they do not share. Neither tree changes meanwhile.
 * @throws ThinError damaged, wrong-version
 */
export async function* delta(
  nodes: NodeLoader,
  left: NodeId,
  right: NodeId,
  options: { changesOnly?: boolean } = {},
): AsyncGenerator<DeltaRange> {
  const joiner = new RangeJoiner();
  const [l, r] = [new Cursor(nodes, left), new Cursor(nodes, right)];
  for (;;) {
    const [a, b] = [l.peek(), r.peek()];
    if (a === undefined && b === undefined) break;
    if (a?.node !== undefined && a.node === b?.node) {
      l.pop();
      r.pop();
      if (options.changesOnly !== true)
        for await (const leaf of leaves(nodes, a.node))
          for (let i = 0; i < leaf.count; i++)
            yield* joiner.add(leaf.keys[i]!, leaf.a[i], leaf.a[i], options.changesOnly);
      continue;
    }
    const side = toExpand(a, b);
    if (side !== undefined) {
      await (side === 'left' ? l : r).expand();
      continue;
    }
    const key = Math.min(a?.from ?? Infinity, b?.from ?? Infinity);
    const atLeft = a?.from === key ? l.take() : undefined;
    const atRight = b?.from === key ? r.take() : undefined;
    yield* joiner.add(key, atLeft, atRight, options.changesOnly);
  }
  yield* joiner.end();
}

/** The next item of a cursor: a subtree that is not read yet, or one mapping. */
interface Ahead {
  /** The least key it can have, and one past the largest. */
  readonly from: number;
  readonly to: number;
  readonly node: NodeId | undefined;
  /** -1: a mapping. */
  readonly level: number;
}

/**
 * Which subtree to open, if any. The higher one first, so that subtrees of a height meet; of two of a height
 * the earlier one; and none that begins behind a mapping of the other side.
 */
function toExpand(a: Ahead | undefined, b: Ahead | undefined): 'left' | 'right' | undefined {
  if (a?.node === undefined) return b?.node !== undefined && !(a && a.from < b.from) ? 'right' : undefined;
  if (b?.node === undefined) return b && b.from < a.from ? undefined : 'left';
  if (a.level !== b.level) return a.level > b.level ? 'left' : 'right';
  return a.from <= b.from ? 'left' : 'right';
}

class Cursor {
  readonly #nodes: NodeLoader;
  /** Opened nodes from the top down, the entry each stands before, and where its last child ends. */
  readonly #path: { readonly node: TreeNode; at: number; readonly to: number }[] = [];
  #root: NodeId | undefined;

  constructor(nodes: NodeLoader, root: NodeId) {
    this.#nodes = nodes;
    this.#root = root;
  }

  peek(): Ahead | undefined {
    if (this.#root !== undefined) return { from: 0, to: KEYS, node: this.#root, level: Infinity };
    for (;;) {
      const top = this.#path.at(-1);
      if (top === undefined) return undefined;
      const { node, at, to } = top;
      if (at < node.count)
        return {
          from: node.keys[at]!,
          to: at + 1 < node.count ? node.keys[at + 1]! : to,
          node: node.isLeaf ? undefined : node.child(at),
          level: node.level - 1,
        };
      this.#path.pop();
    }
  }

  /** Passes over what lies ahead. */
  pop(): void {
    if (this.#root !== undefined) this.#root = undefined;
    else this.#path.at(-1)!.at++;
  }

  /** Passes the mapping ahead: its chunk. */
  take(): number {
    const top = this.#path.at(-1)!;
    return top.node.a[top.at++]!;
  }

  /** Opens the subtree ahead. */
  async expand(): Promise<void> {
    const { node: id, level, from, to } = this.peek()!;
    const node = await this.#nodes.load(id!);
    requirePlace(node, level === Infinity ? undefined : level, from, to);
    this.pop();
    this.#path.push({ node, at: 0, to });
  }
}

class RangeJoiner {
  #range:
    { kind: DeltaRange['kind']; begin: number; length: number; left: number; right: number } | undefined;

  *add(
    key: number,
    left: number | undefined,
    right: number | undefined,
    changesOnly: boolean | undefined,
  ): Generator<DeltaRange> {
    const kind =
      left === undefined
        ? 'right_only'
        : right === undefined
          ? 'left_only'
          : left === right
            ? 'same'
            : 'different';
    if (kind === 'same' && changesOnly === true) return;
    const range = this.#range;
    if (
      range?.kind === kind &&
      key === range.begin + range.length &&
      (left === undefined || left === range.left + range.length) &&
      (right === undefined || right === range.right + range.length)
    ) {
      range.length++;
      return;
    }
    yield* this.end();
    this.#range = { kind, begin: key, length: 1, left: left ?? -1, right: right ?? -1 };
  }

  *end(): Generator<DeltaRange> {
    const range = this.#range;
    this.#range = undefined;
    if (range === undefined) return;
    const { kind, begin, length, left, right } = range;
    if (kind === 'different') yield { kind, begin, length, left, right };
    else yield { kind, begin, length, chunk: kind === 'right_only' ? right : left };
  }
}

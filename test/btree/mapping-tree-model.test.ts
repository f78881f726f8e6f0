import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  createTree,
  entries,
  insert,
  lastKey,
  lookup,
  nextKey,
  remove,
} from '../../src/btree/mapping-tree.js';
import type { NodeId } from '../../src/format/ids.js';
import { FULL_NODE, type NodeLimits } from '../../src/format/node.js';
import { assertSound, contents, CountedNodes } from '../support/counted-nodes.js';

/** `tree` picks one of those there are; a run covers `length` keys from `key` on, `step` apart. */
type Step =
  | {
      readonly do: 'insert' | 'remove';
      readonly tree: number;
      readonly key: number;
      readonly length: number;
      readonly step: number;
    }
  | { readonly do: 'range'; readonly tree: number; readonly key: number; readonly length: number }
  | { readonly do: 'snapshot' | 'drop'; readonly tree: number }
  | { readonly do: 'store' };

interface Shape {
  readonly limits: NodeLimits;
  readonly keys: number;
  readonly longest: number;
  readonly steps: number;
  readonly runs: number;
}

const SHAPES: Record<string, Shape> = {
  'nodes of 4 entries': { limits: { leaf: 4, internal: 4 }, keys: 300, longest: 40, steps: 120, runs: 150 },
  'nodes of 5 and 4 entries': {
    limits: { leaf: 5, internal: 4 },
    keys: 100,
    longest: 30,
    steps: 100,
    runs: 100,
  },
  'nodes of 9 and 5 entries': {
    limits: { leaf: 9, internal: 5 },
    keys: 1000,
    longest: 150,
    steps: 100,
    runs: 80,
  },
  'full-size nodes': { limits: FULL_NODE, keys: 40_000, longest: 6000, steps: 40, runs: 15 },
};

function stepsOf(shape: Shape): fc.Arbitrary<Step[]> {
  const tree = fc.nat(7);
  // Some keys at the very end of the range, where arithmetic goes wrong first.
  const key = fc.oneof(
    { weight: 9, arbitrary: fc.nat(shape.keys) },
    { weight: 1, arbitrary: fc.integer({ min: 2 ** 32 - 50, max: 2 ** 32 - 1 }) },
  );
  const run = fc.record({
    tree,
    key,
    length: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: shape.longest })),
    step: fc.constantFrom(1, 1, 1, -1, 7),
  });
  return fc.array(
    fc.oneof(
      { weight: 6, arbitrary: run.map((r) => ({ do: 'insert' as const, ...r })) },
      { weight: 5, arbitrary: run.map((r) => ({ do: 'remove' as const, ...r })) },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant('range' as const), tree, key, length: fc.nat(shape.keys) }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('snapshot' as const), tree }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('drop' as const), tree }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('store' as const) }) },
    ),
    { minLength: 1, maxLength: shape.steps, size: 'max' },
  );
}

/** A tree and what must be in it: key → [a, b]. */
interface Pair {
  root: NodeId;
  readonly model: Map<number, readonly [number, number]>;
}

class Trees {
  readonly source: CountedNodes;
  readonly pairs: Pair[];
  #value = 0;

  constructor(limits: NodeLimits) {
    this.source = new CountedNodes(limits);
    this.pairs = [{ root: createTree(this.source), model: new Map() }];
  }

  run(step: Step): void {
    if (step.do === 'store') {
      this.source.store();
      return;
    }
    const at = step.tree % this.pairs.length;
    const pair = this.pairs[at]!;
    switch (step.do) {
      case 'insert':
        for (const key of keysOf(step)) this.#insert(pair, key);
        break;
      case 'remove':
        for (const key of keysOf(step)) this.#remove(pair, key);
        break;
      case 'range':
        this.#range(pair, step.key, step.key + step.length);
        break;
      case 'snapshot':
        if (this.pairs.length === 8) break;
        this.source.share(pair.root);
        this.pairs.push({ root: pair.root, model: new Map(pair.model) });
        break;
      case 'drop':
        if (this.pairs.length === 1) break;
        this.source.release(pair.root);
        this.pairs.splice(at, 1);
    }
  }

  check(): void {
    for (const { root, model } of this.pairs) {
      assert.deepEqual(contents(this.source, root), inOrder(model));
      for (const [key, [a, b]] of model) assert.deepEqual(lookup(this.source, root, key), { a, b });
    }
    assertSound(
      this.source,
      this.pairs.map(({ root }) => root),
    );
  }

  #insert(pair: Pair, key: number): void {
    // Values come back now and then, as a chunk is mapped by several devices.
    const [a, b] = [this.#value++ % 5000, 2 ** 32 - 1 - (this.#value % 7)];
    const { root, previous } = insert(this.source, pair.root, key, a, b);
    this.source.hold(a);
    this.#left(pair, key, previous);
    pair.root = root;
    pair.model.set(key, [a, b]);
  }

  #remove(pair: Pair, key: number): void {
    const { root, previous } = remove(this.source, pair.root, key);
    if (!pair.model.has(key)) assert.equal(root, pair.root, 'nothing was removed and yet the tree changed');
    this.#left(pair, key, previous);
    pair.root = root;
    pair.model.delete(key);
  }

  #left(pair: Pair, key: number, previous: { readonly a: number; readonly b: number } | undefined): void {
    const expected = pair.model.get(key);
    assert.deepEqual(previous, expected === undefined ? undefined : { a: expected[0], b: expected[1] });
    if (previous !== undefined) this.source.drop(previous.a);
  }

  #range(pair: Pair, from: number, to: number): void {
    const all = inOrder(pair.model);
    assert.deepEqual(
      contents(this.source, pair.root, from, to),
      all.filter(([key]) => key >= from && key < to),
    );
    assert.equal(nextKey(this.source, pair.root, from), all.find(([key]) => key >= from)?.[0]);
    assert.equal(lastKey(this.source, pair.root), all.at(-1)?.[0]);
    assert.equal(lookup(this.source, pair.root, from)?.a, pair.model.get(from)?.[0]);
    if (!this.source.isShared(pair.root)) return;
    for (const { shared } of entries(this.source, pair.root, from, to)) assert.equal(shared, true);
  }
}

function* keysOf({ key, length, step }: { key: number; length: number; step: number }): Generator<number> {
  for (let i = 0; i < length; i++) {
    const at = key + i * step;
    if (at >= 0 && at < 2 ** 32) yield at;
  }
}

function inOrder(model: ReadonlyMap<number, readonly [number, number]>): [number, number, number][] {
  return [...model].map(([key, [a, b]]): [number, number, number] => [key, a, b]).sort(([x], [y]) => x - y);
}

describe('mapping tree against a map', () => {
  for (const [name, shape] of Object.entries(SHAPES))
    it(`agrees after any changes to any snapshots: ${name}`, () => {
      fc.assert(
        fc.property(stepsOf(shape), (steps) => {
          const trees = new Trees(shape.limits);
          for (const step of steps) trees.run(step);
          trees.check();
        }),
        { numRuns: shape.runs },
      );
    });

  it('leaves nothing when every tree is dropped', () => {
    fc.assert(
      fc.property(stepsOf(SHAPES['nodes of 4 entries']!), (steps) => {
        const trees = new Trees({ leaf: 4, internal: 4 });
        for (const step of steps) trees.run(step);
        for (const { root } of trees.pairs) trees.source.release(root);
        assert.equal(trees.source.references.size, 0);
        assert.equal(trees.source.values.size, 0);
      }),
      { numRuns: 60 },
    );
  });

  it('comes down to one empty leaf when every key is removed, in any order', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(2 ** 32 - 1), { maxLength: 300, size: 'max' }),
        fc.infiniteStream(fc.nat()),
        (keys, numbers) => {
          const source = new CountedNodes({ leaf: 4, internal: 4 });
          let root = createTree(source);
          for (const key of keys) root = insert(source, root, key, 0, 0).root;
          const left = [...keys];
          while (left.length > 0) {
            const [key] = left.splice(numbers.next().value! % left.length, 1);
            root = remove(source, root, key!).root;
          }
          assert.equal(source.references.size, 1);
          assert.equal(source.read(root).isLeaf, true);
          assert.equal(source.read(root).count, 0);
        },
      ),
      { numRuns: 60 },
    );
  });
});

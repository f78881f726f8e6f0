import assert from 'node:assert/strict';
import {
  createTree,
  entries,
  insert,
  lastKey,
  lookup,
  nextKey,
  remove,
  unsharedLeaves,
} from '../../src/btree/mapping-tree.js';
import { ThinError } from '../../src/errors/thin-error.js';
import { nodeId, type NodeId } from '../../src/format/ids.js';
import { FULL_NODE, type NodeLimits } from '../../src/format/node.js';
import { assertSound, contents, CountedNodes } from '../support/counted-nodes.js';

const SMALL: NodeLimits = { leaf: 4, internal: 4 };

/** A tree that maps each key to the value of the same number. */
function treeOf(keys: Iterable<number>, limits = SMALL): { source: CountedNodes; root: NodeId } {
  const source = new CountedNodes(limits);
  let root = createTree(source);
  for (const key of keys) {
    if (lookup(source, root, key) === undefined) source.hold(key);
    root = insert(source, root, key, key, 0).root;
  }
  return { source, root };
}

function* upTo(count: number): Generator<number> {
  for (let key = 0; key < count; key++) yield key;
}

/** The same on every run; spread over all u32. */
function* scattered(count: number): Generator<number> {
  let state = 12345;
  for (let i = 0; i < count; i++) yield (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
}

const isDamaged = (error: unknown): boolean => error instanceof ThinError && error.code === 'damaged';

describe('mapping tree', () => {
  it('has nothing in it at first', () => {
    const { source, root } = treeOf([]);
    assert.equal(lookup(source, root, 0), undefined);
    assert.equal(nextKey(source, root, 0), undefined);
    assert.equal(lastKey(source, root), undefined);
    assert.deepEqual(contents(source, root), []);
    assert.deepEqual(remove(source, root, 5), { root, previous: undefined });
    assert.deepEqual([...unsharedLeaves(source, root, 0)], []);
  });

  it('takes the first and the last key there can be, and any two u32 as a value', () => {
    const source = new CountedNodes(SMALL);
    const most = 2 ** 32 - 1;
    let root = insert(source, createTree(source), most, most, most).root;
    root = insert(source, root, 0, 0, most).root;
    assert.deepEqual(lookup(source, root, most), { a: most, b: most });
    assert.deepEqual(contents(source, root), [
      [0, 0, most],
      [most, most, most],
    ]);
    assert.equal(lastKey(source, root), most);
    assert.equal(nextKey(source, root, 1), most);
  });

  it('says what a key held before', () => {
    const source = new CountedNodes(SMALL);
    const first = insert(source, createTree(source), 7, 1, 2);
    assert.equal(first.previous, undefined);
    const second = insert(source, first.root, 7, 3, 4);
    assert.deepEqual(second.previous, { a: 1, b: 2 });
    assert.deepEqual(remove(source, second.root, 7).previous, { a: 3, b: 4 });
  });

  it('takes keys in descending order', () => {
    const { source, root } = treeOf([...upTo(500)].reverse());
    assert.deepEqual(
      contents(source, root),
      [...upTo(500)].map((key) => [key, key, 0]),
    );
    assertSound(source, [root]);
  });

  describe('nodes it takes', () => {
    it('are full but for one entry when keys come in order', () => {
      const { source, root } = treeOf(upTo(200_000), FULL_NODE);
      assert.equal(source.read(root).level, 2);
      assert.ok(source.references.size <= Math.ceil(200_000 / (FULL_NODE.leaf - 1)) + 4);
      assertSound(source, [root]);
    });

    it('are more than half full when keys come in no order', () => {
      const { source } = treeOf(scattered(100_000), FULL_NODE);
      assert.ok(source.references.size < (2 * 100_000) / FULL_NODE.leaf);
    });

    it('become no more when every key is written again', () => {
      const { source, root } = treeOf([...upTo(4), ...upTo(4)]);
      assert.equal(source.read(root).isLeaf, true, 'a full leaf was split to overwrite a key');
      const large = treeOf(scattered(20_000), FULL_NODE);
      const before = large.source.references.size;
      let again = large.root;
      for (const key of scattered(20_000)) again = insert(large.source, again, key, key, 1).root;
      assert.equal(large.source.references.size, before);
    });

    it('stack no higher however often the same keys are written and removed', () => {
      const churned = treeOf(upTo(60));
      let root = churned.root;
      for (let round = 0; round < 200; round++) {
        for (const key of [59, 58, 3, 0, 30]) root = insert(churned.source, root, key, key, 0).root;
        root = remove(churned.source, root, round % 60).root;
        root = insert(churned.source, root, round % 60, round % 60, 0).root;
      }
      assert.ok(churned.source.read(root).level <= 5, `level ${churned.source.read(root).level}`);
    });
  });

  describe('sharing', () => {
    it('copies the path to a change and nothing else', () => {
      const { source, root } = treeOf(upTo(200));
      source.share(root);
      const before = source.references.size;
      const height = source.read(root).level + 1;
      source.hold(9999);
      const changed = insert(source, root, 100, 9999, 1);
      source.drop(changed.previous!.a);
      assert.notEqual(changed.root, root);
      assert.equal(source.references.size, before + height);
      assert.deepEqual(lookup(source, root, 100), { a: 100, b: 0 });
      assert.deepEqual(lookup(source, changed.root, 100), { a: 9999, b: 1 });
      assertSound(source, [root, changed.root]);
    });

    it('is not broken by removing a key that is not there', () => {
      const { source, root } = treeOf([...upTo(200)].map((n) => n * 2));
      source.share(root);
      const before = source.references.size;
      assert.deepEqual(remove(source, root, 101), { root, previous: undefined });
      assert.equal(source.references.size, before);
    });

    it('changes in place what no other tree refers to', () => {
      const { source, root } = treeOf(upTo(10));
      assert.equal(insert(source, root, 3, 3, 7).root, root);
      assert.equal(remove(source, root, 3).root, root);
    });

    it('shows in each entry whose path has a shared node', () => {
      const { source, root } = treeOf(upTo(64));
      assert.ok([...entries(source, root, 0, 64)].every(({ shared }) => !shared));
      source.share(root);
      assert.ok([...entries(source, root, 0, 64)].every(({ shared }) => shared));
      const changed = insert(source, root, 10, 10, 1).root;
      const own = [...entries(source, changed, 0, 64)].filter(({ shared }) => !shared).map(({ key }) => key);
      assert.ok(own.includes(10) && own.length <= SMALL.leaf, own.join());
    });

    it('hides leaves that other trees refer to, without reading them', () => {
      const { source, root } = treeOf(upTo(2000));
      source.share(root);
      assert.deepEqual([...unsharedLeaves(source, root, 0)], []);
      let changed = insert(source, root, 10, 10, 1).root;
      changed = insert(source, changed, 1500, 1500, 1).root;
      source.reads = 0;
      const leaves = [...unsharedLeaves(source, changed, 0)];
      assert.equal(leaves.length, 2);
      for (const [i, key] of [10, 1500].entries())
        assert.ok(leaves[i]!.keys.subarray(0, leaves[i]!.count).includes(key));
      assert.ok(source.reads <= 2 * (source.read(changed).level + 1), `${source.reads} reads`);
    });

    it('lets a pass over unshared leaves stop after each and go on behind it', () => {
      // Gaps between leaves: the key behind a leaf's last one is covered by that leaf, which must not come
      // again.
      const { source, root } = treeOf([...upTo(300)].map((n) => n * 10));
      const seen: number[] = [];
      for (let from = 0; ;) {
        const [leaf] = unsharedLeaves(source, root, from);
        if (leaf === undefined) break;
        const keys = [...leaf.keys.subarray(0, leaf.count)].filter((key) => key >= from);
        assert.ok(keys.length > 0, `no progress from ${from}`);
        seen.push(...keys);
        from = keys.at(-1)! + 1;
      }
      assert.deepEqual(
        seen,
        [...upTo(300)].map((n) => n * 10),
      );
    });
  });

  it('reads a range without reading the tree', () => {
    const { source, root } = treeOf(upTo(50_000), FULL_NODE);
    source.reads = 0;
    assert.equal(contents(source, root, 25_000, 25_010).length, 10);
    assert.ok(source.reads <= 4, `${source.reads} reads`);
    source.reads = 0;
    for (const { key } of entries(source, root, 0, 2 ** 32)) if (key === 5) break;
    assert.ok(source.reads <= 3, `${source.reads} reads before the first entries`);
  });

  describe('damage', () => {
    const operations: Record<string, (source: CountedNodes, root: NodeId) => unknown> = {
      lookup: (source, root) => lookup(source, root, 0),
      insert: (source, root) => insert(source, root, 0, 1, 1),
      remove: (source, root) => remove(source, root, 0),
      entries: (source, root) => contents(source, root),
      nextKey: (source, root) => nextKey(source, root, 0),
      unsharedLeaves: (source, root) => [...unsharedLeaves(source, root, 0)],
    };
    for (const [name, operation] of Object.entries(operations))
      it(`does not send ${name} in a circle, nor to a node of another level`, () => {
        for (const target of ['itself', 'a leaf'] as const) {
          const { source, root } = treeOf(upTo(200));
          const top = source.read(root);
          assert.ok(top.level > 1);
          top.a[0] = target === 'itself' ? root : createTree(source);
          assert.throws(() => operation(source, root), isDamaged);
        }
      });

    it('stops lastKey too', () => {
      const { source, root } = treeOf(upTo(200));
      const top = source.read(root);
      top.a[top.count - 1] = root;
      assert.throws(() => lastKey(source, root), isDamaged);
    });

    it('names the node above it', () => {
      const { source, root } = treeOf(upTo(200));
      source.read(root).a[0] = nodeId(root);
      assert.throws(
        () => lookup(source, root, 0),
        new RegExp(`^ThinError: node ${root} is damaged: .*thinfuse check`),
      );
    });
  });
});

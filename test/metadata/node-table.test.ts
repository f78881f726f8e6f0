import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createTree, entries, insert, remove } from '../../src/btree/mapping-tree.js';
import type { NodeId } from '../../src/format/ids.js';
import { NodeTable } from '../../src/metadata/node-table.js';
import { SpaceMap } from '../../src/metadata/space-map.js';
import { MemoryStore } from '../support/memory-store.js';

const LIMITS = { leaf: 4, internal: 4 };
const NODES = 4000;

const step = fc.record({
  do: fc.constantFrom('insert', 'insert', 'insert', 'remove', 'share', 'drop', 'commit', 'fail'),
  key: fc.nat(60),
  which: fc.nat(20),
});

interface Tree {
  root: NodeId;
  readonly keys: Map<number, number>;
}

describe('the node table under trees that share nodes', () => {
  it('shows each tree its own mappings, counts references as a walk does, and stores what a commit that holds took', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const store = new MemoryStore();
        const [space, chunks] = [new SpaceMap(NODES), new SpaceMap(NODES)];
        const table = new NodeTable(store, space, chunks, { limits: LIMITS, cachedNodes: 3 });
        const trees: Tree[] = [{ root: createTree(table), keys: new Map() }];
        for (const { do: what, key, which } of steps) {
          const tree = trees[which % trees.length]!;
          if (what === 'insert') {
            const chunk = chunks.take()!;
            chunks.increment(chunk);
            const { root, previous } = insert(table, tree.root, key, chunk, 1);
            if (previous !== undefined) chunks.decrement(previous.a);
            tree.root = root;
            tree.keys.set(key, chunk);
          } else if (what === 'remove') {
            const { root, previous } = remove(table, tree.root, key);
            if (previous !== undefined) chunks.decrement(previous.a);
            tree.root = root;
            tree.keys.delete(key);
          } else if (what === 'share') {
            table.share(tree.root);
            trees.push({ root: tree.root, keys: new Map(tree.keys) });
          } else if (what === 'drop' && trees.length > 1) {
            const owed = [trees.splice(trees.indexOf(tree), 1)[0]!.root];
            for (let id = owed.pop(); id !== undefined; id = owed.pop()) owed.push(...table.release(id));
          } else if (what === 'commit' || what === 'fail') {
            const freed = space.takeFreed();
            const commit = table.collect();
            for (const one of trees) assertTree(table, one);
            if (what === 'commit') {
              await store.batch(commit.operations, { sync: true });
              commit.settle();
              space.release(freed);
            } else {
              commit.undo();
              space.keepFreed(freed);
            }
          }
        }
        for (const tree of trees) assertTree(table, tree);
        assertCounted(table, trees, { space, chunks });
        // Another process sees the same, once all is stored.
        const commit = table.collect();
        await store.batch(commit.operations, { sync: true });
        const other = new NodeTable(store, space, chunks, { limits: LIMITS, cachedNodes: 3 });
        for (const tree of trees) assertTree(other, tree);
        assert.equal(store.dump().length, space.used);
      }),
      { numRuns: 200 },
    );
  });

  it('refuses one node more than there may be', () => {
    const table = new NodeTable(new MemoryStore(), new SpaceMap(2), new SpaceMap(2), {
      limits: LIMITS,
      cachedNodes: 1,
    });
    createTree(table);
    createTree(table);
    assert.throws(() => createTree(table), { code: 'no-space' });
  });
});

function assertTree(table: NodeTable, { root, keys }: Tree): void {
  const found = [...entries(table, root, 0, Infinity)].map(({ key, a }) => [key, a]);
  assert.deepEqual(
    found,
    [...keys].sort(([x], [y]) => x - y),
  );
}

/** References counted anew: a node's own once, when it is first met. */
function assertCounted(
  table: NodeTable,
  trees: readonly Tree[],
  { space, chunks }: { readonly space: SpaceMap; readonly chunks: SpaceMap },
): void {
  const [nodes, data] = [new Map<number, number>(), new Map<number, number>()];
  const visit = (id: NodeId): void => {
    nodes.set(id, (nodes.get(id) ?? 0) + 1);
    if (nodes.get(id)! > 1) return;
    const node = table.read(id);
    for (let i = 0; i < node.count; i++)
      if (node.isLeaf) data.set(node.a[i]!, (data.get(node.a[i]!) ?? 0) + 1);
      else visit(node.child(i));
  };
  for (const { root } of trees) visit(root);
  for (let entry = 0; entry < 400; entry++) {
    assert.equal(space.count(entry), nodes.get(entry) ?? 0, `node ${entry}`);
    assert.equal(chunks.count(entry), data.get(entry) ?? 0, `chunk ${entry}`);
  }
}

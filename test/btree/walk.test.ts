import assert from 'node:assert/strict';
import { createTree, insert } from '../../src/btree/mapping-tree.js';
import { walk, type TreeVisitor } from '../../src/btree/walk.js';
import { ThinError, type ThinErrorCode } from '../../src/errors/thin-error.js';
import type { NodeId } from '../../src/format/ids.js';
import type { TreeNode } from '../../src/format/node.js';
import { CountedNodes } from '../support/counted-nodes.js';

const KEYS = 200;

function tree(): { source: CountedNodes; root: NodeId } {
  const source = new CountedNodes({ leaf: 4, internal: 4 });
  let root = createTree(source);
  for (let key = 0; key < KEYS; key++) root = insert(source, root, key, key, 0).root;
  return { source, root };
}

interface Found {
  readonly nodes: TreeNode[];
  readonly keys: number[];
  readonly damaged: { id: NodeId; error: ThinError; from: number; to: number }[];
}

async function walked(
  source: CountedNodes,
  root: NodeId,
  visitor: Omit<TreeVisitor, 'damaged'> = {},
): Promise<Found> {
  const found: Found = { nodes: [], keys: [], damaged: [] };
  const damaged: TreeVisitor['damaged'] = (id, error, from, to) => {
    found.damaged.push({ id, error, from, to });
  };
  const loader = { load: async (id: NodeId) => source.read(id) };
  for await (const node of walk(loader, root, { ...visitor, damaged })) {
    found.nodes.push(node);
    if (node.isLeaf) found.keys.push(...node.keys.subarray(0, node.count));
  }
  return found;
}

/** The second of the root's children, whose keys begin and end inside the tree. */
function middle(source: CountedNodes, root: NodeId): { node: TreeNode; from: number; to: number } {
  const top = source.read(root);
  assert.ok(top.level > 1 && top.count > 2);
  return { node: source.read(top.child(1)), from: top.keys[1]!, to: top.keys[2]! };
}

/** All keys but those of the middle: what a walk can still reach. */
function beside(range: { from: number; to: number }): number[] {
  return Array.from({ length: KEYS }, (_, key) => key).filter((key) => key < range.from || key >= range.to);
}

describe('walk', () => {
  it('meets every node once, parents first, and all keys in order', async () => {
    const { source, root } = tree();
    const { nodes, keys, damaged } = await walked(source, root);
    assert.equal(nodes[0]!.id, root);
    assert.equal(new Set(nodes).size, nodes.length);
    assert.equal(nodes.length, source.references.size);
    assert.deepEqual(keys, beside({ from: KEYS, to: KEYS }));
    assert.deepEqual(damaged, []);
  });

  it('takes an empty tree for what it is', async () => {
    const source = new CountedNodes({ leaf: 4, internal: 4 });
    assert.deepEqual((await walked(source, createTree(source))).damaged, []);
  });

  it('stays above nodes that the visitor will not enter', async () => {
    const { source, root } = tree();
    const { nodes } = await walked(source, root, { enter: (id) => id === root });
    assert.deepEqual(
      nodes.map(({ id }) => id),
      [root],
    );
  });

  it('leaves each node behind all that is below it', async () => {
    const { source, root } = tree();
    const left: NodeId[] = [];
    const { nodes } = await walked(source, root, {
      leave: (node) => {
        if (!node.isLeaf) for (let i = 0; i < node.count; i++) assert.ok(left.includes(node.child(i)));
        left.push(node.id);
      },
    });
    assert.deepEqual([...left].sort(), nodes.map(({ id }) => id).sort());
    assert.equal(left.at(-1), root);
  });

  it('visits a node with stray keys where the visitor wants it', async () => {
    const { source, root } = tree();
    const { node } = middle(source, root);
    node.keys[0] = node.keys[0]! - 1;
    const strays: NodeId[] = [];
    const { keys, damaged } = await walked(source, root, { stray: ({ id }) => strays.push(id) > 0 });
    assert.deepEqual([strays, damaged], [[node.id], []]);
    assert.deepEqual(keys, beside({ from: KEYS, to: KEYS }));
  });

  const damages: Record<string, (source: CountedNodes, root: NodeId, node: TreeNode) => void> = {
    'that hangs in a circle': (source, root) => (source.read(root).a[1] = root),
    'of another level': (source, root) => {
      source.read(root).a[1] = createTree(source);
    },
    'that belongs a level further down': (source, root, node) => {
      source.read(root).a[1] = node.child(0);
    },
    'whose first key is its neighbour’s': (_source, _root, node) => (node.keys[0] = node.keys[0]! - 1),
    'whose last key is its neighbour’s': (_source, _root, node) => (node.keys[node.count - 1] = KEYS * 2),
    'that is empty': (_source, _root, node) => (node.count = 0),
  };
  for (const [name, damage] of Object.entries(damages))
    it(`reports a node ${name} with the keys that it takes along, and goes on beside it`, async () => {
      const { source, root } = tree();
      const { node, from, to } = middle(source, root);
      damage(source, root, node);
      const { damaged, keys } = await walked(source, root);
      assert.equal(damaged.length, 1);
      assert.equal(damaged[0]!.error.code, 'damaged');
      assert.ok(damaged[0]!.error.message.startsWith(`node ${damaged[0]!.id} is damaged: `));
      assert.deepEqual([damaged[0]!.from, damaged[0]!.to], [from, to]);
      assert.deepEqual(keys, beside({ from, to }));
    });

  it('reports a node whose bytes are damaged', async () => {
    const { source, root } = tree();
    const range = middle(source, root);
    source.store();
    source.stored.get(range.node.id)![20]! ^= 4;
    const { damaged, keys } = await walked(source, root);
    assert.deepEqual(
      damaged.map(({ id }) => id),
      [range.node.id],
    );
    assert.deepEqual(keys, beside(range));
  });

  it('goes on past damage, but not past another failure', async () => {
    for (const [code, goesOn] of [
      ['wrong-version', true],
      ['io', false],
      ['closed', false],
    ] as [ThinErrorCode, boolean][]) {
      const { source, root } = tree();
      const { node } = middle(source, root);
      const read = source.read.bind(source);
      source.read = (id) => {
        if (id === node.id) throw new ThinError(code, 'on purpose');
        return read(id);
      };
      if (goesOn) assert.equal((await walked(source, root)).damaged[0]!.error.code, code);
      else await assert.rejects(walked(source, root), { code });
    }
  });
});

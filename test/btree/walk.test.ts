import assert from 'node:assert/strict';
import { createTree, insert } from '../../src/btree/mapping-tree.js';
import { walk } from '../../src/btree/walk.js';
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

function walked(source: CountedNodes, root: NodeId, below: (node: TreeNode) => boolean = () => true): Found {
  const found: Found = { nodes: [], keys: [], damaged: [] };
  walk(source, root, {
    node: (node) => {
      found.nodes.push(node);
      if (node.isLeaf) found.keys.push(...node.keys.subarray(0, node.count));
      return below(node);
    },
    damaged: (id, error, from, to) => found.damaged.push({ id, error, from, to }),
  });
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
  it('meets every node once, parents first, and all keys in order', () => {
    const { source, root } = tree();
    const { nodes, keys, damaged } = walked(source, root);
    assert.equal(nodes[0]!.id, root);
    assert.equal(new Set(nodes).size, nodes.length);
    assert.equal(nodes.length, source.references.size);
    assert.deepEqual(keys, beside({ from: KEYS, to: KEYS }));
    assert.deepEqual(damaged, []);
  });

  it('takes an empty tree for what it is', () => {
    const source = new CountedNodes({ leaf: 4, internal: 4 });
    assert.deepEqual(walked(source, createTree(source)).damaged, []);
  });

  it('stays above nodes that the visitor has seen', () => {
    const { source, root } = tree();
    assert.deepEqual(
      walked(source, root, () => false).nodes.map(({ id }) => id),
      [root],
    );
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
    it(`reports a node ${name} with the keys that it takes along, and goes on beside it`, () => {
      const { source, root } = tree();
      const { node, from, to } = middle(source, root);
      damage(source, root, node);
      const { damaged, keys } = walked(source, root);
      assert.equal(damaged.length, 1);
      assert.equal(damaged[0]!.error.code, 'damaged');
      assert.ok(damaged[0]!.error.message.startsWith(`node ${damaged[0]!.id} is damaged: `));
      assert.deepEqual([damaged[0]!.from, damaged[0]!.to], [from, to]);
      assert.deepEqual(keys, beside({ from, to }));
    });

  it('reports a node whose bytes are damaged', () => {
    const { source, root } = tree();
    const range = middle(source, root);
    source.store();
    source.stored.get(range.node.id)![20]! ^= 4;
    const { damaged, keys } = walked(source, root);
    assert.deepEqual(
      damaged.map(({ id }) => id),
      [range.node.id],
    );
    assert.deepEqual(keys, beside(range));
  });

  it('goes on past damage, but not past another failure', () => {
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
      if (goesOn) assert.equal(walked(source, root).damaged[0]!.error.code, code);
      else assert.throws(() => walked(source, root), { code });
    }
  });
});

import assert from 'node:assert/strict';
import { nodeId } from '../../src/format/ids.js';
import { FULL_NODE, packNode, TreeNode } from '../../src/format/node.js';
import { seal } from '../../src/format/seal.js';
import { unpackStoredNode } from '../../src/metadata/stored-node.js';

describe('a node in the store', () => {
  const node = new TreeNode(nodeId(7), 0, FULL_NODE);
  node.insertAt(0, 3, 5, 1);
  const value = seal('node', 7, packNode(node));

  it('is as it was packed', () => {
    const read = unpackStoredNode(nodeId(7), value, FULL_NODE);
    assert.deepEqual(
      [read.id, read.level, read.count, read.keys[0], read.a[0], read.b[0]],
      [7, 0, 1, 3, 5, 1],
    );
  });

  it('is damaged where it is missing, another’s, another kind’s, or changed', () => {
    const changed = value.slice();
    changed[20]! ^= 1;
    for (const wrong of [
      undefined,
      seal('node', 8, packNode(node)),
      seal('device', 7, packNode(node)),
      changed,
    ])
      assert.throws(() => unpackStoredNode(nodeId(7), wrong, FULL_NODE), {
        code: 'damaged',
        message: /node 7/,
      });
  });
});

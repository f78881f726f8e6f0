import assert from 'node:assert/strict';
import fc from 'fast-check';
import { nodeId } from '../../src/format/ids.js';
import { mappingRuns } from '../../src/metadata/mapping-runs.js';
import { StoredNodes } from '../../src/metadata/metadata-view.js';
import { TreeBuilder } from '../../src/metadata/tree-builder.js';
import { MemoryStore } from '../support/memory-store.js';

const LIMITS = { leaf: 4, internal: 4 };

describe('TreeBuilder', () => {
  it('builds trees that hold what was added, and counts every reference once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uniqueArray(fc.nat(3000), { maxLength: 150 }), { minLength: 1, maxLength: 4 }),
        async (devices) => {
          const builder = new TreeBuilder(10_000, LIMITS);
          const roots = devices.map((keys) => {
            for (const key of keys.toSorted((x, y) => x - y)) builder.add(key, key * 3, 1);
            return builder.finish();
          });
          const store = new MemoryStore();
          await store.batch(builder.operations, { sync: true });
          const nodes = new StoredNodes(store, LIMITS);
          for (const [index, root] of roots.entries()) {
            const found: number[] = [];
            for await (const run of mappingRuns(nodes, root)) {
              assert.equal(run.chunk, run.begin * 3);
              for (let i = 0; i < run.length; i++) found.push(run.begin + i);
            }
            assert.deepEqual(
              found,
              devices[index]!.toSorted((x, y) => x - y),
            );
          }
          // Counted anew: a node's children once, when it is first met.
          const nodeCounts = new Map<number, number>();
          const chunkCounts = new Map<number, number>();
          const visit = async (id: number): Promise<void> => {
            const seen = nodeCounts.get(id) ?? 0;
            nodeCounts.set(id, seen + 1);
            if (seen > 0) return;
            const node = await nodes.load(nodeId(id));
            for (let i = 0; i < node.count; i++)
              if (node.isLeaf) chunkCounts.set(node.a[i]!, (chunkCounts.get(node.a[i]!) ?? 0) + 1);
              else await visit(node.a[i]!);
          };
          for (const root of roots) await visit(root);
          assert.deepEqual(new Map([...builder.nodeCounts].sort()), new Map([...nodeCounts].sort()));
          assert.deepEqual(new Map([...builder.chunkCounts].sort()), new Map([...chunkCounts].sort()));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('shares what two trees have in common, also behind a difference', () => {
    const builder = new TreeBuilder(10_000);
    for (let key = 0; key < 20_000; key++) builder.add(key, key, 0);
    builder.finish();
    const alone = builder.operations.length;
    for (let key = 0; key < 20_000; key++) if (key !== 1000) builder.add(key, key, 0);
    builder.finish();
    assert.ok(builder.operations.length <= alone + 3, `${builder.operations.length} after ${alone}`);
  });

  it('refuses mappings out of order, and more nodes than there may be', () => {
    const builder = new TreeBuilder(2, LIMITS);
    builder.add(5, 0, 0);
    assert.throws(() => builder.add(5, 1, 0), { code: 'invalid-argument' });
    assert.throws(
      () => {
        for (let key = 6; key < 100; key++) builder.add(key, key, 0);
      },
      { code: 'no-space' },
    );
  });
});

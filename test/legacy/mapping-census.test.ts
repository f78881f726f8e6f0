import assert from 'node:assert/strict';
import { METADATA_BLOCK } from '../../src/legacy/disk-block.js';
import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { surveyPool } from '../../src/legacy/survey.js';
import { buildMetadata, MemoryBlocks, openBuilt } from '../support/legacy-metadata.js';
import { packTreeNode } from '../support/legacy-pack.js';

const DATA_BLOCKS = 1000;

function device(id: number, blocks: readonly number[]): Parameters<typeof openBuilt>[0][number] {
  const mappings = new Map(blocks.map((block) => [block, { data: (block * 37) % DATA_BLOCKS, time: 0 }]));
  return { id, creationTime: 0, snapTime: 0, mappings };
}

const some = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, at) => first + 3 * at);

describe('what a survey counts', () => {
  it('is the last block of each device, too, of trees that share nodes', () => {
    const pool = openBuilt(
      [device(1, some(0, 60)), device(2, some(0, 57)), device(3, []), device(4, [...some(0, 60), 500])],
      { dataBlocks: DATA_BLOCKS },
    );
    const { devices } = surveyPool(pool, { window: 64 });
    for (const { id, tree } of pool.devices)
      assert.equal(devices.get(id)?.last, tree!.lastKey() ?? 'none', `device ${id}`);
  });

  it('looks again at a sound node where its keys fit and those below it do not', () => {
    // Device 2 gets an own root, whose second child begins within what the first one spans.
    const built = buildMetadata([device(1, some(0, 12)), device(2, some(900, 12))], {
      dataBlocks: DATA_BLOCKS,
      leaf: 3,
      fan: 2,
    });
    const before = LegacyPool.open(new MemoryBlocks(built));
    const [first, second] = before.devices.map(({ tree }) => tree!);
    const entries = [
      { key: 0, block: first!.root },
      // Within what the last leaf of the first spans.
      { key: 30, block: second!.root },
    ];
    const root = second!.root;
    const copy = Buffer.concat([built, Buffer.alloc(METADATA_BLOCK)]);
    const moved = built.length / METADATA_BLOCK;
    const old = before.nodes.node(root, 'root');
    packTreeNode(moved, {
      isLeaf: old.isLeaf,
      valueSize: old.valueSize,
      entries: [...old.keys].map((key, at) => ({ key, value: old.value(at) })),
    }).copy(copy, moved * METADATA_BLOCK);
    packTreeNode(root, {
      isLeaf: false,
      valueSize: 8,
      entries: entries.map(({ key, block }) => {
        const value = Buffer.alloc(8);
        value.writeBigUInt64LE(BigInt(block === root ? moved : block));
        return { key, value };
      }),
    }).copy(copy, root * METADATA_BLOCK);
    const pool = LegacyPool.open(new MemoryBlocks(copy));
    const { devices } = surveyPool(pool);
    assert.deepEqual(devices.get(1)?.damage, []);
    assert.match(devices.get(2)?.damage[0]?.problem ?? '', /do not belong between/);
  });
});

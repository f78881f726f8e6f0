import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { surveyDamage } from '../../src/legacy/survey.js';
import { treeChanges } from '../../src/legacy/tree-changes.js';
import { dumpOf, shareRoot } from '../support/legacy-dump.js';
import { MemoryBlocks } from '../support/legacy-metadata.js';
import { formatDump, parseDump, type XmlDevice, type XmlPool, type XmlRange } from '../support/legacy-xml.js';
import { hasTool, run, useScratch } from '../support/mounts.js';
import { restoreMetadata } from '../support/old-pool.js';

const DATA_BLOCKS = 400_000;

/** Against thin-provisioning-tools: they make the metadata, and say what is in it. */
describe('legacy: what thin_dump says', function () {
  this.timeout(120_000);
  const scratch = useScratch();
  let serial = 0;

  before('thin_restore and thin_dump are there', async () => {
    for (const tool of ['thin_restore', 'thin_dump', 'thin_check'])
      assert.ok(await hasTool(tool), `${tool} is missing: apt-get install thin-provisioning-tools`);
  });

  async function restored(pool: XmlPool, bytes = 32 * 2 ** 20): Promise<string> {
    const file = scratch.current.at(`pool-${serial++}`);
    await writeFile(`${file}.xml`, formatDump(pool));
    await restoreMetadata(`${file}.xml`, file, bytes);
    return file;
  }

  async function sameAsThinDump(file: string): Promise<LegacyPool> {
    const theirs = parseDump(await run('thin_dump', [file]));
    const pool = LegacyPool.open(await MemoryBlocks.of(file));
    assert.deepEqual(pool.damage, []);
    assert.deepEqual(dumpOf(pool), theirs);
    return pool;
  }

  it('of pools of any shape', async () => {
    await fc.assert(
      fc.asyncProperty(anyPool, async (pool) => {
        const opened = await sameAsThinDump(await restored(pool, 8 * 2 ** 20));
        assert.deepEqual(surveyDamage(opened), []);
      }),
      { numRuns: 10 },
    );
  });

  it('of hundreds of devices', async () => {
    const devices = Array.from({ length: 600 }, (_, index) =>
      device(index * 27_000 + 1, [{ begin: index, data: index, length: 1 + (index % 3), time: index }]),
    );
    const pool = await sameAsThinDump(await restored({ attributes: attributes(), devices }));
    assert.equal(pool.devices.length, 600);
    assert.deepEqual(pool.device(27_001)?.tree?.lookup(5), undefined);
  });

  it('of deep trees full of holes, and of one long range', async () => {
    const scattered = Array.from({ length: 150_000 }, (_, index) => ({
      begin: index * 3,
      data: (index * 7919) % 150_000,
      length: 1,
      time: index % 5,
    }));
    const full = [{ begin: 0, data: 0, length: 390_000, time: 2 ** 24 - 1 }];
    const far = [{ begin: 2 ** 50, data: 7, length: 2, time: 1 }];
    const file = await restored({
      attributes: attributes(),
      devices: [device(1, scattered), device(2, full), device(3, far), device(4, [])],
    });
    const pool = await sameAsThinDump(file);
    assert.deepEqual(
      [1, 2, 3, 4].map((id) => pool.device(id)?.tree?.height()),
      [2, 2, 0, 0],
    );
    assert.deepEqual(
      [1, 2, 3, 4].map((id) => pool.device(id)?.tree?.lastKey()),
      [449_997, 389_999, 2 ** 50 + 1, undefined],
    );
    assert.deepEqual(surveyDamage(pool), []);
  });

  it('with needs_check set, the largest numbers, and the largest blocks', async () => {
    const huge = String(2n ** 64n - 1n);
    const file = await restored({
      attributes: {
        ...attributes(),
        flags: '1',
        transaction: huge,
        time: String(2 ** 32 - 1),
        data_block_size: String(2 ** 21),
      },
      devices: [
        {
          attributes: {
            dev_id: String(2 ** 24 - 1),
            mapped_blocks: '1',
            transaction: huge,
            creation_time: String(2 ** 32 - 1),
            snap_time: String(2 ** 32 - 1),
          },
          ranges: [{ begin: 9, data: 8, length: 1, time: 2 ** 24 - 1 }],
        },
      ],
    });
    const pool = await sameAsThinDump(file);
    assert.equal(pool.superblock.needsCheck, true);
    assert.equal(pool.superblock.transactionId, 2n ** 64n - 1n);
  });

  it('of devices that share their nodes, and finds no difference without reading a leaf', async () => {
    const ranges = Array.from({ length: 30_000 }, (_, index) => ({
      begin: index * 2,
      data: index,
      length: 1,
      time: 0,
    }));
    const file = await restored({
      attributes: attributes(),
      devices: [device(1, ranges), device(2, ranges)],
    });
    const bytes = await readFile(file);
    shareRoot(bytes, 1, 2);
    await writeFile(file, bytes);
    await sameAsThinDump(file);
    const blocks = new MemoryBlocks(bytes);
    const pool = LegacyPool.open(blocks);
    const before = blocks.reads;
    const options = { dataBlocks: DATA_BLOCKS, sound: true };
    assert.deepEqual([...treeChanges(pool.device(1)!.tree, pool.device(2)!.tree!, options)], []);
    assert.ok(blocks.reads - before <= 4, `${blocks.reads - before} blocks read`);
  });

  it('reads huge metadata with few nodes in memory', async () => {
    const ranges = [{ begin: 0, data: 0, length: 390_000, time: 0 }];
    const file = await restored({ attributes: attributes(), devices: [device(1, ranges)] });
    const blocks = await MemoryBlocks.of(file);
    const pool = LegacyPool.open(blocks, { cachedNodes: 8 });
    assert.deepEqual(dumpOf(pool).devices[0]?.ranges, ranges);
    const walked = blocks.reads;
    assert.ok(walked < 390_000 / 126 + 50, `each node is read once: ${walked}`);
    assert.notEqual(pool.device(1)!.tree!.lookup(200_000), undefined);
    assert.ok(blocks.reads - walked <= 3);
  });
});

function attributes(): Record<string, string> {
  return {
    uuid: '',
    time: '5',
    transaction: '77',
    flags: '0',
    version: '2',
    data_block_size: '128',
    nr_data_blocks: String(DATA_BLOCKS),
  };
}

function device(id: number, ranges: readonly XmlRange[], times = { created: 1, snapped: 2 }): XmlDevice {
  return {
    attributes: {
      dev_id: String(id),
      mapped_blocks: String(ranges.reduce((sum, { length }) => sum + length, 0)),
      transaction: String(id),
      creation_time: String(times.created),
      snap_time: String(times.snapped),
    },
    ranges,
  };
}

/**
 * Ranges that do not overlap in the device and lie anywhere in the data: joined where they are neighbours in
 * both, as a dump has them.
 */
const anyRanges = fc
  .array(
    fc.record({
      gap: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 10 }), fc.integer({ min: 0, max: 2 ** 40 })),
      data: fc.integer({ min: 0, max: DATA_BLOCKS - 2000 }),
      length: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 2000 })),
      time: fc.integer({ min: 0, max: 2 ** 24 - 1 }),
    }),
    { maxLength: 40 },
  )
  .map((pieces) => {
    let at = 0;
    return pieces.map(({ gap, data, length, time }) => {
      const begin = at + gap;
      at = begin + length;
      return { begin, data, length, time };
    });
  });

const anyPool: fc.Arbitrary<XmlPool> = fc
  .uniqueArray(
    fc.record({
      id: fc.integer({ min: 0, max: 2 ** 24 - 1 }),
      ranges: anyRanges,
      created: fc.nat(),
      snapped: fc.nat(),
    }),
    { selector: ({ id }) => id, maxLength: 12 },
  )
  .map((all) => ({
    attributes: attributes(),
    devices: all
      .sort((a, b) => a.id - b.id)
      .map(({ id, ranges, created, snapped }) => device(id, ranges, { created, snapped })),
  }));

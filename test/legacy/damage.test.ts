import assert from 'node:assert/strict';
import { writeFile, readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { DeviceImage } from '../../src/legacy/device-image.js';
import { summarizeDevice } from '../../src/legacy/device-summary.js';
import { METADATA_BLOCK, sealBlock } from '../../src/legacy/disk-block.js';
import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { LostData } from '../../src/legacy/lost-data.js';
import { mappedRuns } from '../../src/legacy/mappings.js';
import { surveyDamage } from '../../src/legacy/survey.js';
import { treeChanges } from '../../src/legacy/tree-changes.js';
import { damageBlock, dumpOf, nodesOf } from '../support/legacy-dump.js';
import { buildMetadata, MemoryBlocks, type BuiltDevice } from '../support/legacy-metadata.js';
import { formatDump } from '../support/legacy-xml.js';
import { run, useScratch } from '../support/mounts.js';
import { restoreMetadata } from '../support/old-pool.js';

const DATA_BLOCKS = 10_000;
const BLOCK = 65536;

describe('legacy: damaged pools', function () {
  this.timeout(120_000);
  const scratch = useScratch();
  let whole: Buffer;

  before('make metadata of three devices, two levels each', async () => {
    const device = (id: number, shift: number): object => ({
      attributes: {
        dev_id: String(id),
        mapped_blocks: '2000',
        transaction: '1',
        creation_time: '0',
        snap_time: '0',
      },
      ranges: [{ begin: 0, data: shift, length: 2000, time: 0 }],
    });
    const xml = scratch.current.at('pool.xml');
    const file = scratch.current.at('metadata');
    await writeFile(
      xml,
      formatDump({
        attributes: {
          uuid: '',
          time: '0',
          transaction: '1',
          flags: '0',
          version: '2',
          data_block_size: '128',
          nr_data_blocks: String(DATA_BLOCKS),
        },
        devices: [device(1, 0), device(2, 3000), device(3, 6000)] as never,
      }),
    );
    await restoreMetadata(xml, file, 4 * 2 ** 20);
    whole = await readFile(file);
    await run('thin_check', [file]);
  });

  const opened = (bytes: Buffer): LegacyPool => LegacyPool.open(new MemoryBlocks(bytes));

  it('names a damaged leaf and the blocks lost with it, and serves the rest', () => {
    const bytes = Buffer.from(whole);
    const leaf = nodesOf(bytes, 2)[3]!;
    damageBlock(bytes, leaf);
    const pool = opened(bytes);
    const { lost, mapped } = summarizeDevice(pool.device(2)!, DATA_BLOCKS);
    assert.deepEqual(lost, [
      {
        begin: 252,
        end: 378,
        path: `device 2 / node block ${leaf}`,
        problem: 'its checksum is not that of a node',
      },
    ]);
    assert.equal(mapped, 2000 - 126);
    const tree = pool.device(2)!.tree!;
    assert.throws(() => [...mappedRuns(tree, { dataBlocks: DATA_BLOCKS })], { code: 'damaged' });
    assert.deepEqual(
      [...mappedRuns(tree, { dataBlocks: DATA_BLOCKS, onLost: () => undefined })],
      [
        { begin: 0, data: 3000, length: 252 },
        { begin: 378, data: 3378, length: 1622 },
      ],
    );
    const others = dumpOf(opened(whole)).devices;
    for (const id of [1, 3])
      assert.deepEqual(
        [...mappedRuns(pool.device(id)!.tree!, { dataBlocks: DATA_BLOCKS })].map(
          ({ begin, data, length }) => ({ begin, data, length, time: 0 }),
        ),
        others[id - 1]?.ranges,
      );
    assert.deepEqual(
      surveyDamage(pool).map(({ path }) => path),
      [`device 2 / node block ${leaf}`],
    );
  });

  it('answers reads of what is lost with an error, or with zeroes where that was asked for', async () => {
    const bytes = Buffer.from(whole);
    damageBlock(bytes, nodesOf(bytes, 2)[3]!);
    const pool = opened(bytes);
    const data = {
      path: 'data',
      size: DATA_BLOCKS * BLOCK,
      gaps: () => [],
      read: (offset: number, into: Uint8Array) => {
        into.fill(1 + ((offset / BLOCK) % 200));
        return Promise.resolve();
      },
    };
    const parts = {
      name: '2',
      tree: pool.device(2)!.tree!,
      data,
      blockSize: BLOCK,
      dataBlocks: DATA_BLOCKS,
      size: 2000 * BLOCK,
      mappedBytes: 0,
    };
    const into = Buffer.alloc(2 * BLOCK);
    const strict = new DeviceImage(parts);
    await strict.read(250 * BLOCK, into);
    await assert.rejects(strict.read(251 * BLOCK, into), {
      code: 'damaged',
      message: /device 2 \/ node block/,
    });
    const loose = new DeviceImage({ ...parts, lost: new LostData() });
    await loose.read(251 * BLOCK, into);
    assert.ok(into.subarray(0, BLOCK).every((byte) => byte === 1 + (3251 % 200)));
    assert.ok(into.subarray(BLOCK).every((byte) => byte === 0));
    assert.equal(await loose.seek(0, 'hole'), 252 * BLOCK);
    assert.equal(await loose.seek(300 * BLOCK, 'data'), 378 * BLOCK);
    assert.equal(await loose.seek(1999 * BLOCK + 5, 'hole'), 2000 * BLOCK);
    for (const write of [() => strict.write(), () => strict.discard(), () => strict.writeZeroes()])
      assert.throws(write, { code: 'read-only' });
  });

  it('keeps the others when a root, a record or the whole tree of records is lost', () => {
    const { superblock } = opened(whole);
    const rootless = Buffer.from(whole);
    damageBlock(rootless, nodesOf(rootless, 1)[0]!);
    assert.equal(summarizeDevice(opened(rootless).device(1)!, DATA_BLOCKS).lost[0]?.end, Infinity);
    assert.equal(summarizeDevice(opened(rootless).device(2)!, DATA_BLOCKS).mapped, 2000);

    const recordless = Buffer.from(whole);
    damageBlock(recordless, superblock.detailsRoot);
    const pool = opened(recordless);
    assert.match(pool.damage[0]?.problem ?? '', /records of devices/);
    assert.equal(pool.devices.length, 3);
    assert.equal(summarizeDevice(pool.device(3)!, DATA_BLOCKS).mapped, 2000);

    const treeless = Buffer.from(whole);
    damageBlock(treeless, superblock.mappingRoot);
    assert.deepEqual(
      opened(treeless).devices.map(({ tree }) => tree),
      [undefined, undefined, undefined],
    );
    assert.match(opened(treeless).damage[0]?.problem ?? '', /all devices from 0 on/);
  });

  it('finds a damaged superblock, bitmap, index and count, and records that do not agree', () => {
    const bytes = Buffer.from(whole);
    damageBlock(bytes, 0, 70);
    assert.throws(() => opened(bytes), { code: 'damaged', message: /superblock/ });
    const { superblock } = opened(whole);
    const lost = (block: number): readonly string[] => {
      const copy = Buffer.from(whole);
      damageBlock(copy, block);
      return surveyDamage(opened(copy)).map(({ path }) => path);
    };
    const { dataSpaceMap, metadataSpaceMap } = superblock;
    assert.match(lost(dataSpaceMap.bitmapRoot).join(), /^data space map \/ index/);
    assert.match(lost(dataSpaceMap.refCountRoot).join(), /^data space map \/ reference counts/);
    assert.match(lost(metadataSpaceMap.bitmapRoot).join(), /^metadata space map \/ index/);
    assert.match(lost(metadataSpaceMap.refCountRoot).join(), /^metadata space map \/ reference counts/);
    const wrong = Buffer.from(whole);
    const details = wrong.subarray(
      superblock.detailsRoot * METADATA_BLOCK,
      (superblock.detailsRoot + 1) * METADATA_BLOCK,
    );
    details.writeBigUInt64LE(1999n, 32 + details.readUInt32LE(20) * 8);
    sealBlock('node', superblock.detailsRoot, details);
    assert.deepEqual(surveyDamage(opened(wrong)), [
      { path: 'device 1', problem: '2000 blocks are mapped, and its record says 1999' },
    ]);
  });

  it('takes no mapping past the end of the data, and no tree that leads into itself', () => {
    const device: BuiltDevice = {
      id: 1,
      creationTime: 0,
      snapTime: 0,
      mappings: new Map([
        [0, { data: 1, time: 0 }],
        [1, { data: 999, time: 0 }],
        [2, { data: 3, time: 0 }],
      ]),
    };
    const pool = opened(buildMetadata([device], { dataBlocks: 10 }));
    const { lost, mapped } = summarizeDevice(pool.device(1)!, 10);
    assert.deepEqual([mapped, lost.map(({ begin, end }) => [begin, end])], [2, [[1, 2]]]);
    assert.match(lost[0]?.path ?? '', /^device 1 \/ node block \d+ \/ block 1$/);

    const cyclic = Buffer.from(whole);
    const [root = 0] = nodesOf(cyclic, 1);
    const node = cyclic.subarray(root * METADATA_BLOCK, (root + 1) * METADATA_BLOCK);
    for (let index = 0; index < node.readUInt32LE(16); index++)
      node.writeBigUInt64LE(BigInt(root), 32 + node.readUInt32LE(20) * 8 + index * 8);
    sealBlock('node', root, node);
    const summary = summarizeDevice(opened(cyclic).device(1)!, DATA_BLOCKS);
    assert.equal(summary.mapped, 0);
    assert.equal(summary.lost.length > 0, true);
  });

  it('ends, without a crash, on metadata with any bytes changed, valid checksums or not', () => {
    const change = fc.record({
      block: fc.nat({ max: 40 }),
      at: fc.nat({ max: METADATA_BLOCK - 1 }),
      value: fc.integer({ min: 0, max: 255 }),
    });
    const wholeDump = dumpOf(opened(whole));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.boolean(), (changes, reseal) => {
        const bytes = Buffer.from(whole);
        for (const { block, at, value } of changes) bytes[block * METADATA_BLOCK + at] = value;
        if (reseal)
          for (const { block } of changes)
            sealBlock(
              block === 0 ? 'superblock' : 'node',
              block,
              bytes.subarray(block * METADATA_BLOCK, (block + 1) * METADATA_BLOCK),
            );
        try {
          const pool = opened(bytes);
          surveyDamage(pool);
          const trees = pool.devices.map(({ tree }) => tree).filter((tree) => tree !== undefined);
          const options = { dataBlocks: pool.dataBlocks, onLost: () => undefined };
          for (const tree of trees) {
            for (const _ of mappedRuns(tree, options)) continue;
            for (const _ of treeChanges(trees[0], tree, { ...options, sound: true })) continue;
          }
          // What is not reported as lost is as it was.
          if (!reseal)
            for (const device of pool.devices)
              if (device.tree !== undefined && summarizeDevice(device, pool.dataBlocks).lost.length === 0)
                assert.equal(
                  [...mappedRuns(device.tree, options)].length,
                  wholeDump.devices[device.id - 1]?.ranges.length,
                );
        } catch (error) {
          const code = String((error as { code?: unknown }).code);
          assert.match(code, /^(damaged|invalid-argument|wrong-version|unsupported)$/, String(error));
        }
      }),
      { numRuns: 150 },
    );
  });
});

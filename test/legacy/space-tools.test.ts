import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { METADATA_BLOCK } from '../../src/legacy/disk-block.js';
import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { packMetadata, unpackMetadata } from '../../src/legacy/tools/metadata-pack.js';
import { packBlock, PackedBytes, unpackBlock } from '../../src/legacy/tools/pack-node.js';
import { shrunkDump } from '../../src/legacy/tools/shrink.js';
import { MovedBlocks, planShrink } from '../../src/legacy/tools/shrink-plan.js';
import { dataUse, type BlockRun } from '../../src/legacy/tools/used-blocks.js';
import { MemoryBlocks } from '../support/legacy-metadata.js';
import { useScratch } from '../support/mounts.js';
import { restoreMetadata } from '../support/old-pool.js';
import { requireThinTools, runThinTool } from '../support/thin-provisioning-tools.js';

const XML = `<superblock uuid="" time="1" transaction="2" flags="0" version="2" data_block_size="128" nr_data_blocks="200">
<device dev_id="1" mapped_blocks="21" transaction="0" creation_time="0" snap_time="1">
<range_mapping origin_begin="0" data_begin="190" length="10" time="0"/>
<range_mapping origin_begin="10" data_begin="45" length="10" time="0"/>
<single_mapping origin_block="30" data_block="3" time="0"/></device>
<device dev_id="2" mapped_blocks="11" transaction="1" creation_time="1" snap_time="1">
<range_mapping origin_begin="0" data_begin="190" length="10" time="0"/>
<single_mapping origin_block="12" data_block="120" time="1"/></device>
</superblock>`;

describe('legacy: packed metadata, and what is free of the data', function () {
  this.timeout(120_000);
  requireThinTools();
  const scratch = useScratch();
  let whole: Buffer;
  let pack: Buffer;

  before('make a pool and pack it', async () => {
    const [xml, file] = [scratch.current.at('xml'), scratch.current.at('metadata')];
    await writeFile(xml, XML);
    await restoreMetadata(xml, file, 64 * METADATA_BLOCK);
    whole = await readFile(file);
    const pieces: Buffer[] = [];
    for await (const piece of packMetadata(new MemoryBlocks(whole))) pieces.push(piece);
    pack = Buffer.concat(pieces);
  });

  it('unpacks what it packed, to the byte', async () => {
    assert.ok((await unpacked(pack)).equals(whole));
    assert.ok(pack.length < 2000, `${pack.length} bytes`);
  });

  it('does what each instruction of thin_metadata_pack says', () => {
    // set 300; 3 × +2; 2 × the same; -1; 4 mappings of blocks 7, 8, 9, 10 at time 1; the rest as it is.
    const rest = METADATA_BLOCK - 11 * 8;
    const program = [0x02, 0x2c, 0x01, 0x73, 0x12, 0x52, 0x31];
    const mappings = [0xb0, 0x04, 0x01, 0x07, 0x73, 0x11, 0x01, 0x01, 0x53];
    const literal = [0xa2, rest & 0xff, rest >>> 8, ...Array.from({ length: rest }, () => 9)];
    const block = unpackBlock(new PackedBytes(Buffer.from([...program, ...mappings, ...literal])));
    const numbers = Array.from({ length: 11 }, (_, index) => Number(block.readBigUInt64LE(index * 8)));
    const mapped = [7, 8, 9, 10].map((data) => data * 2 ** 24 + 1);
    assert.deepEqual(numbers, [300, 302, 304, 306, 306, 306, 305, ...mapped]);
    assert.ok(block.subarray(11 * 8).every((byte) => byte === 9));
  });

  it('packs any block so that it comes back, and fails on any other bytes but by damage', async () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 64, maxLength: 64 }),
        fc.integer({ min: 0, max: 300 }),
        (some, capacity) => {
          const block = Buffer.alloc(METADATA_BLOCK);
          for (let at = 0; at < METADATA_BLOCK; at += 64) block.set(some, at);
          block.writeUInt32LE(2, 4);
          block.writeUInt32LE(capacity, 20);
          block.writeUInt32LE(8, 24);
          assert.ok(unpackBlock(new PackedBytes(packBlock(block, true))).equals(block));
        },
      ),
      { numRuns: 50 },
    );
    for (let round = 0; round < 200; round++) {
      const hurt = Buffer.from(pack);
      const at = (round * 7919) % hurt.length;
      hurt[at] = hurt[at]! ^ (1 << (round % 8));
      await unpacked(hurt).catch((error: unknown) => assert.ok(error instanceof ThinError, String(error)));
    }
  });

  it('tells what is free, and writes the metadata of a pool with less data', async () => {
    const pool = LegacyPool.open(new MemoryBlocks(whole));
    const use = dataUse(pool);
    assert.deepEqual(use.used, [
      { begin: 3, length: 1 },
      { begin: 45, length: 10 },
      { begin: 120, length: 1 },
      { begin: 190, length: 10 },
    ]);
    const moves = planShrink(use, 50);
    const [xml, file] = [scratch.current.at('small.xml'), scratch.current.at('small')];
    await writeFile(xml, [...shrunkDump(pool, moves, 50)].join(''));
    await restoreMetadata(xml, file, 64 * METADATA_BLOCK);
    await runThinTool('thin_check', file);
    assert.match(await runThinTool('thin_dump', file), /nr_data_blocks="50"/);
    const after = dataUse(LegacyPool.open(new MemoryBlocks(await readFile(file))));
    assert.equal(sum(after.used), sum(use.used));
    assert.throws(() => planShrink(use, 21), { code: 'too-large' });
  });

  it('moves each block once, to where nothing is', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }), (isUsed) => {
        const runs = (wanted: boolean): BlockRun[] =>
          isUsed.flatMap((used, begin) => (used === wanted ? [{ begin, length: 1 }] : []));
        const [used, free] = [runs(true), runs(false)];
        const moves = new MovedBlocks(planShrink({ used, free }, used.length));
        const places = used.map(({ begin }) => [...moves.pieces(begin, 1)][0]!.data);
        assert.deepEqual(
          [...places].sort((a, b) => a - b),
          used.map((_, index) => index),
        );
      }),
    );
  });
});

async function unpacked(bytes: Buffer): Promise<Buffer> {
  let at = 0;
  let target = Buffer.alloc(0);
  await unpackMetadata(
    { read: (count) => Promise.resolve(bytes.subarray(at, (at = Math.min(bytes.length, at + count)))) },
    {
      resize: (size) => {
        target = Buffer.alloc(Math.min(size, 2 ** 24));
        return Promise.resolve();
      },
      write: (offset, block) => {
        block.copy(target, offset);
        return Promise.resolve();
      },
    },
  );
  return target;
}

function sum(runs: readonly BlockRun[]): number {
  return runs.reduce((all, { length }) => all + length, 0);
}

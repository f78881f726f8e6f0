import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { findTrees } from '../../src/legacy/find-trees.js';
import { METADATA_BLOCK, sealBlock } from '../../src/legacy/disk-block.js';
import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { NodeReader } from '../../src/legacy/node-reader.js';
import { surveyDamage, surveyPool } from '../../src/legacy/survey.js';
import { METADATA_BYTES, randomOf, sharingMetadata, usedBlocks } from '../support/hurt-metadata.js';
import { MemoryBlocks } from '../support/legacy-metadata.js';
import { useScratch } from '../support/mounts.js';
import { requireThinTools, thinTool } from '../support/thin-provisioning-tools.js';

const ROUNDS = Number(process.env['THINFUSE_CHECK_ROUNDS'] ?? 60);

describe('legacy: metadata as thin_check judges it', function () {
  this.timeout(600_000);
  requireThinTools();
  const scratch = useScratch();
  let whole: Buffer;

  before('make a pool', async () => {
    whole = await sharingMetadata(scratch.current, 0);
    assert.deepEqual(surveyDamage(LegacyPool.open(new MemoryBlocks(whole))), []);
    for (const window of [1, 64, 999])
      assert.deepEqual(surveyPool(LegacyPool.open(new MemoryBlocks(whole)), { window }).damage, []);
  });

  it('calls nothing sound that thin_check does not, and finds no fault where it finds none', async () => {
    const file = scratch.current.at('hurt');
    const used = usedBlocks(whole);
    const random = randomOf(Number(process.env['THINFUSE_CHECK_SEED'] ?? 7));
    let damaged = 0;
    const differ: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const hurt = Buffer.from(whole);
      const [block, kind] = used[random(used.length)]!;
      const at = block * METADATA_BLOCK;
      // Where what is stored is: behind the head, and mostly where entries are.
      const place = at + 16 + random(random(3) === 0 ? METADATA_BLOCK - 16 : 200);
      hurt[place] = hurt[place]! ^ (1 << random(8));
      sealBlock(kind, block, hurt.subarray(at, at + METADATA_BLOCK));
      await writeFile(file, hurt);
      const { code } = await thinTool('thin_check', '-q', file);
      let ours: readonly unknown[];
      try {
        ours = surveyDamage(LegacyPool.open(new MemoryBlocks(hurt)));
      } catch (error) {
        ours = [String(error)];
      }
      if (code !== 0) damaged++;
      const what = `round ${round}: block ${block} (${kind}) at ${place - at}: thin_check ${code}, ${JSON.stringify(ours).slice(0, 300)}`;
      if (code !== 0 && ours.length === 0) differ.push(what);
      if (code === 0 && ours.length > 0 && !KNOWN_STRICTER.test(JSON.stringify(ours))) differ.push(what);
    }
    assert.deepEqual(differ, []);
    assert.ok(damaged > ROUNDS / 20, `${damaged} of ${ROUNDS} were damaged`);
  });

  it('finds the trees again that a lost superblock led to', () => {
    const lost = Buffer.from(whole).fill(0, 0, METADATA_BLOCK);
    const { superblock } = LegacyPool.open(new MemoryBlocks(whole));
    const blocks = new MemoryBlocks(lost);
    assert.throws(() => LegacyPool.open(blocks), { code: 'damaged', message: /--block-size/ });
    const found = findTrees(new NodeReader(blocks));
    assert.equal(found?.mappingRoot, superblock.mappingRoot);
    assert.equal(found.detailsRoot, superblock.detailsRoot);
    const overrides = { blockSize: 65536, dataBlocks: 2000 };
    const pool = LegacyPool.open(blocks, { search: true, overrides });
    assert.deepEqual(
      pool.devices.map(({ id, details }) => [id, Number(details?.mappedBlocks)]),
      [1, 2, 3, 4].map((id) => [id, 600 + id]),
    );
    assert.match(pool.damage[0]?.problem ?? '', /all zeroes.*--mapping-root/);
    const byHand = { ...overrides, mappingRoot: superblock.mappingRoot, detailsRoot: superblock.detailsRoot };
    assert.equal(LegacyPool.open(blocks, { overrides: byHand }).devices.length, 4);
  });

  it('says where metadata ends too early', () => {
    const short = new MemoryBlocks(whole.subarray(0, METADATA_BYTES - METADATA_BLOCK));
    assert.match(
      JSON.stringify(surveyDamage(LegacyPool.open(short))),
      /159 blocks, and its superblock says 160/,
    );
  });
});

/**
 * thin_check 0.9 compares no counts of the data space map, no record with its mappings, and no keys with the
 * node above; 1.x does.
 */
const KNOWN_STRICTER = /data space map|its record says|is mapped to data block|do not belong between|24 bits/;

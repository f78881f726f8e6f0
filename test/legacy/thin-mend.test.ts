import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { METADATA_BLOCK, sealBlock } from '../../src/legacy/disk-block.js';
import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { surveyDamage } from '../../src/legacy/survey.js';
import { thinCheck } from '../../src/legacy/tools/thin-check.js';
import { randomOf, sharingMetadata, usedBlocks } from '../support/hurt-metadata.js';
import { MemoryBlocks } from '../support/legacy-metadata.js';
import { useScratch } from '../support/mounts.js';
import { requireThinTools, thinTool } from '../support/thin-provisioning-tools.js';

/** The long form: scripts/thin-tools.sh. */
const ROUNDS = Number(process.env['THINFUSE_CHECK_ROUNDS'] ?? 12);
const BITMAP_HEADER = 16;

describe('legacy: what thin_check 0.9 mends', function () {
  this.timeout(7_200_000);
  requireThinTools();
  const scratch = useScratch();

  it('frees leaked blocks and clears the flag as it does, to the byte, and nothing else', async () => {
    const file = scratch.current.at('hurt');
    const random = randomOf(Number(process.env['THINFUSE_CHECK_SEED'] ?? 5));
    const pools = [await sharingMetadata(scratch.current, 0), await sharingMetadata(scratch.current, 1)];
    const seen = new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = Buffer.from(pools[round % 2]!);
      const what = hurt(bytes, random);
      const freeLeaks = random(3) > 0;
      await writeFile(file, bytes);
      const theirs = await thinTool(
        'thin_check',
        freeLeaks ? '--auto-repair' : '--clear-needs-check-flag',
        file,
      );
      const ours = mended(bytes, freeLeaks);
      const where = `round ${round}: ${what}, ${freeLeaks ? 'leaks' : 'flag'}`;
      assert.deepEqual(ours.told, { code: theirs.code, stdout: theirs.stdout, stderr: theirs.stderr }, where);
      const after = await readFile(file);
      assert.ok(after.equals(ours.bytes), `${where}: the metadata differs`);
      if (theirs.stderr.includes('fixed'))
        assert.deepEqual(surveyDamage(LegacyPool.open(new MemoryBlocks(after))), [], where);
      for (const word of ['fixed', 'cleared']) if (theirs.stderr.includes(word)) seen.add(word);
      if (after.equals(bytes)) seen.add('nothing');
    }
    assert.deepEqual([...seen].sort(), ['cleared', 'fixed', 'nothing']);
  });
});

function mended(
  whole: Buffer,
  freeLeaks: boolean,
): { readonly told: { code: number; stdout: string; stderr: string }; readonly bytes: Buffer } {
  const bytes = Buffer.from(whole);
  let [stdout, stderr] = ['', ''];
  const write = (block: number, content: Uint8Array): void => bytes.set(content, block * METADATA_BLOCK);
  const isSound = thinCheck(
    new MemoryBlocks(bytes),
    { depth: 'all', ignoreNonFatal: false, heldRoot: false, mend: { freeLeaks, write } },
    { info: (line) => (stdout += `${line}\n`), progress: (line) => (stderr += `${line}\n`) },
  );
  return { told: { code: isSound ? 0 : 1, stdout, stderr }, bytes };
}

/** Free blocks counted as used, used ones counted once too often, or one that is broken. */
function hurt(bytes: Buffer, random: (below: number) => number): string {
  const used = usedBlocks(bytes);
  const bitmap = ownBitmap(bytes);
  const within = bytes.subarray(bitmap * METADATA_BLOCK, (bitmap + 1) * METADATA_BLOCK);
  const pair = (block: number, bits: number): void => {
    const at = BITMAP_HEADER + (block >>> 2);
    within[at] = (within[at]! & ~(3 << ((block & 3) * 2))) | (bits << ((block & 3) * 2));
  };
  const kind = random(8);
  const free = bytes.length / METADATA_BLOCK - used.length;
  const leaks = Array.from({ length: 1 + random(5) }, () => used.length + random(free));
  if (kind > 1) for (const block of leaks) pair(block, 1 + random(2));
  if (kind === 2) pair(used[1 + random(used.length - 1)]![0], 1);
  if (kind === 3) bytes[used[random(used.length)]![0] * METADATA_BLOCK + 100]! ^= 1;
  sealBlock('bitmap', bitmap, within);
  return `kind ${kind}, ${leaks.join(' ')}`;
}

function ownBitmap(bytes: Buffer): number {
  const { metadataSpaceMap } = LegacyPool.open(new MemoryBlocks(bytes)).superblock;
  return Number(bytes.readBigUInt64LE(metadataSpaceMap.bitmapRoot * METADATA_BLOCK + 16));
}

import assert from 'node:assert/strict';
import { SeenBlocks } from '../../src/legacy/tools/seen-blocks.js';
import { thinDeltaText, type DeltaSide } from '../../src/legacy/tools/thin-delta.js';
import { ToolMetadata } from '../../src/legacy/tools/tool-metadata.js';
import type { DeltaFormat } from '../../src/thin-tools/delta-lines.js';
import { sharingMetadata } from '../support/hurt-metadata.js';
import { MemoryBlocks } from '../support/legacy-metadata.js';
import { useScratch } from '../support/mounts.js';
import { requireThinTools } from '../support/thin-provisioning-tools.js';

describe('legacy: thin_delta of roots', () => {
  requireThinTools();
  const scratch = useScratch();

  it('is that of the devices which have them, and names them as 1.x does', async () => {
    const metadata = ToolMetadata.open(new MemoryBlocks(await sharingMetadata(scratch.current, 0)), false);
    const text = async (left: DeltaSide, right: DeltaSide, format: DeltaFormat): Promise<string> => {
      let all = '';
      for await (const piece of thinDeltaText(metadata, left, right, { format, changesOnly: false }))
        all += piece;
      return all;
    };
    const [one, two] = [metadata.rootOf(1)!, metadata.rootOf(2)!];
    for (const format of ['simple', 'verbose'] as const) {
      const devices = await text(1, 2, format);
      assert.match(devices, /left_only/);
      assert.equal(
        await text({ root: one }, { root: two }, format),
        devices.replace('left="1" right="2"', `left_root="${one}" right_root="${two}"`),
      );
      assert.equal(await text(1, { root: two }, format), devices.replace('right="2"', `right_root="${two}"`));
    }
    const json = JSON.parse(await text({ root: one }, 2, 'json')) as { left: unknown; right: unknown };
    assert.deepEqual([json.left, json.right], [{ root: one }, { id: 2 }]);
  });

  it('remembers which blocks it saw, few and many', () => {
    const count = 100_003;
    const seen = new SeenBlocks(count);
    for (let block = 0; block < count; block += 2) assert.equal(seen.add(block), true);
    for (let block = 0; block < count; block++) assert.equal(seen.add(block), block % 2 === 1);
  });
});

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chunkMapKey, nodeMapKey } from '../../src/format/keys.js';
import { unseal } from '../../src/format/seal.js';
import { ENTRIES_PER_SHEET } from '../../src/format/space-map-sheet.js';
import { SpaceMap } from '../../src/metadata/space-map.js';
import { spaceMapSheets } from '../../src/metadata/space-map-sheets.js';

const LIMIT = 3 * ENTRIES_PER_SHEET;

describe('sheets of counts that were found anew', () => {
  it('are read by a space map as those counts, and there is one for each part that has any', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.nat(LIMIT - 1).map(String), fc.integer({ min: 1, max: 300 }), { maxKeys: 30 }),
        fc.constantFrom('chunk-map-sheet' as const, 'node-map-sheet' as const),
        (given, kind) => {
          const counts = new Map(Object.entries(given).map(([entry, count]) => [Number(entry), count]));
          const operations = spaceMapSheets(kind, counts);
          const sheets = new Set([...counts.keys()].map((entry) => Math.floor(entry / ENTRIES_PER_SHEET)));
          assert.equal(operations.length, sheets.size);
          const map = new SpaceMap(LIMIT);
          for (const sheet of sheets) {
            const key = kind === 'chunk-map-sheet' ? chunkMapKey(sheet) : nodeMapKey(sheet);
            const operation = operations.find((one) => Buffer.compare(one.key, key) === 0);
            assert(operation?.type === 'put');
            map.loadSheet(sheet, unseal(kind, sheet, operation.value, 'sheet'), 'sheet');
          }
          assert.equal(map.used, counts.size);
          for (const [entry, count] of counts) assert.equal(map.count(entry), count);
        },
      ),
      { numRuns: 50 },
    );
  });
});

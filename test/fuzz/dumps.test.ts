import assert from 'node:assert/strict';
import fc from 'fast-check';
import { checkPool } from '../../src/metadata/check.js';
import { restorePool } from '../../src/pool/restore-pool.js';
import { parseDump, type DumpHandler } from '../../src/thin-tools/parse-dump.js';
import { FUZZ_RUNS, FUZZ_SCENES, onlyRejects, spoiltText } from '../support/fuzzing.js';
import type { MemoryStore } from '../support/memory-store.js';
import { dumpOf, poolOf, SMALL_NODES } from '../support/random-pool.js';

const IGNORE: DumpHandler = {
  superblock: () => undefined,
  poolFacts: () => undefined,
  device: () => undefined,
  deviceFacts: () => undefined,
  run: () => undefined,
  endDevice: () => undefined,
};
const HEAD =
  '<superblock uuid="" time="2" transaction="3" flags="0" version="2" data_block_size="128" nr_data_blocks="1024">';
const DEVICE = '<device dev_id="2" mapped_blocks="5" transaction="2" creation_time="1" snap_time="2">';
const PIECES = [
  HEAD,
  DEVICE,
  '<range_mapping origin_begin="0" data_begin="0" length="3" time="0"/>',
  '<range_mapping origin_begin="4294967290" data_begin="5" length="4294967295" time="0"/>',
  '<single_mapping origin_block="3" data_block="4" time="1"/>',
  '<def name="a">',
  '<ref name="a"/>',
  '</def>',
  '</device>',
  '</superblock>',
  '<!-- thinfuse {"name":"web"} -->',
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  '&b;',
  '<![CDATA[ ]]>',
];

describe('fuzz: dumps', function () {
  this.timeout(0);
  let store: MemoryStore;
  let dump: string;

  before(async () => {
    store = await poolOf([
      { do: 'write', device: 0, block: 3, length: 9 },
      { do: 'snapshot', device: 0, block: 0, length: 1 },
      { do: 'write', device: 1, block: 7, length: 2 },
      { do: 'write', device: 0, block: 40, length: 20 },
    ]);
    dump = await dumpOf(store);
  });

  it('are read, or refused as an invalid argument', () =>
    fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.array(fc.constantFrom(...PIECES), { maxLength: 14 }).map((pieces) => pieces.join('')),
          fc.constant(undefined).chain(() => spoiltText(fc.constant(dump))),
        ),
        fc.integer({ min: 1, max: 400 }),
        async (text, size) => {
          const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
            text.slice(at * size, (at + 1) * size),
          );
          await onlyRejects(['invalid-argument'], () => parseDump(pieces, IGNORE));
        },
      ),
      { numRuns: FUZZ_RUNS },
    ));

  it('make a pool that a check finds well, or change nothing', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constant(undefined).chain(() => spoiltText(fc.constant(dump))),
        async (text) => {
          const before = store.dump();
          const done = await onlyRejects(['invalid-argument', 'damaged', 'no-space', 'unsupported'], () =>
            restorePool(store, [text], { replace: true, limits: SMALL_NODES }),
          );
          if (done === undefined) assert.deepEqual(store.dump(), before);
          else {
            const { findings } = await checkPool(store, { limits: SMALL_NODES });
            assert.deepEqual(
              findings.filter(({ problem }) => problem !== 'is stored, but nothing refers to it'),
              [],
            );
          }
        },
      ),
      { numRuns: FUZZ_SCENES },
    ));

  it('do not multiply', async () => {
    const ten = '<ref name="d"/>'.repeat(10);
    const bomb = Array.from(
      { length: 20 },
      (_, at) => `<def name="d${at}">${at === 0 ? PIECES[2]! : ten.replaceAll('"d"', `"d${at - 1}"`)}</def>`,
    );
    await assert.rejects(parseDump([HEAD, ...bomb], IGNORE), {
      code: 'invalid-argument',
      message: /block 0 comes after/,
    });
    await assert.rejects(parseDump([HEAD, '<def name="a">', PIECES[2]!, '<ref name="a"/>'], IGNORE), {
      code: 'invalid-argument',
      message: /before its <def>/,
    });
  });
});

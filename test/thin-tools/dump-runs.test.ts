import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { MappingRun } from '../../src/metadata/mapping-runs.js';
import { DUMP_WORDS, runLine } from '../../src/thin-tools/dump-words.js';
import { dumpedRuns } from '../../src/thin-tools/dump-runs.js';

const u32 = fc.nat({ max: 2 ** 32 - 1 });

describe('thin tools: mappings out of a dump', () => {
  it('are those that were written, wherever the text is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record(
            { begin: u32, chunk: u32, length: fc.integer({ min: 1, max: 9 }), time: u32 },
            { noNullPrototype: true },
          ),
        ),
        fc.integer({ min: 1, max: 200 }),
        async (runs, piece) => {
          const words = DUMP_WORDS.xml;
          const record = { id: 5, mapped: 1, transaction: 2, creationTime: 3, snapTime: 4 };
          const text =
            words.beginDevice(record) + runs.map((run) => runLine(words, run)).join('') + words.endDevice;
          assert.deepEqual(await collect(cut(text, piece)), runs);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('are refused where they are none', async () => {
    await assert.rejects(collect(cut('<range_mapping origin_begin="x"/>\n', 7)), { code: 'internal' });
  });
});

async function* cut(text: string, length: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += length) yield await Promise.resolve(text.slice(at, at + length));
}

async function collect(pieces: AsyncIterable<string>): Promise<MappingRun[]> {
  const runs: MappingRun[] = [];
  for await (const run of dumpedRuns(pieces)) runs.push(run);
  return runs;
}

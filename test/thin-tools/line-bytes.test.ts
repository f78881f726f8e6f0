import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DUMP_FORMATS, DUMP_WORDS, runLine } from '../../src/thin-tools/dump-words.js';
import { LineBytes } from '../../src/thin-tools/line-bytes.js';

const number = fc.oneof(
  fc.nat(),
  fc.maxSafeNat(),
  fc.constantFrom(0, 9, 10, 99, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40 - 1),
);
const runs = fc.array(
  fc.record({
    begin: number,
    chunk: number,
    length: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 300_000 })),
    time: fc.nat(2 ** 24 - 1),
  }),
);

describe('LineBytes', () => {
  for (const format of DUMP_FORMATS)
    it(`has a run's line in ${format} as the text has it, in pieces of any size`, () => {
      fc.assert(
        fc.property(runs, fc.integer({ min: 1, max: 2000 }), (asked, size) => {
          const lines = new LineBytes(size);
          const pieces: Buffer[] = [];
          for (const run of asked) {
            DUMP_WORDS[format].run(run, lines);
            if (lines.isFull) pieces.push(lines.take());
          }
          pieces.push(lines.take());
          const wanted = asked.map((run) => runLine(DUMP_WORDS[format], run)).join('');
          assert.equal(Buffer.concat(pieces).toString(), wanted);
        }),
      );
    });

  it('takes a text that is longer than a piece', () => {
    const lines = new LineBytes(1);
    lines.text('long '.repeat(1000));
    lines.number(7);
    assert.equal(lines.take().toString(), `${'long '.repeat(1000)}7`);
  });

  it('writes a run of thin_dump', () => {
    const run = { begin: 10, chunk: 2 ** 33, length: 3, time: 0 };
    const range = `    <range_mapping origin_begin="10" data_begin="${2 ** 33}" length="3" time="0"/>\n`;
    assert.equal(runLine(DUMP_WORDS.xml, run), range);
    assert.equal(
      runLine(DUMP_WORDS.xml, { ...run, length: 1 }),
      `    <single_mapping origin_block="10" data_block="${2 ** 33}" time="0"/>\n`,
    );
    assert.equal(
      runLine(DUMP_WORDS.human_readable, run),
      `    (10..12) -> (${2 ** 33}..${2 ** 33 + 2}), 0\n`,
    );
    assert.equal(runLine(DUMP_WORDS.human_readable, { ...run, length: 1 }), `    10 -> ${2 ** 33}, 0\n`);
  });
});

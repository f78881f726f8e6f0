import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { PlacedRun } from '../../src/metadata/mapping-runs.js';
import { runChanges } from '../../src/transfer/run-changes.js';

const BLOCKS = 12;

async function* given(runs: readonly PlacedRun[]): AsyncGenerator<PlacedRun> {
  yield* runs;
}

function runsOf(chunks: readonly (number | undefined)[]): PlacedRun[] {
  const runs: { begin: number; chunk: number; length: number }[] = [];
  for (const [begin, chunk] of chunks.entries()) {
    const last = runs.at(-1);
    if (chunk === undefined) continue;
    if (last?.begin === begin - (last?.length ?? 0) && last.chunk + last.length === chunk) last.length++;
    else runs.push({ begin, chunk, length: 1 });
  }
  return runs;
}

describe('changes between runs', () => {
  const map = fc.array(fc.option(fc.nat(4), { nil: undefined }), { minLength: BLOCKS, maxLength: BLOCKS });

  it('names each block that differs, and no other', async () => {
    await fc.assert(
      fc.asyncProperty(map, map, async (left, right) => {
        const told: (string | undefined)[] = Array.from({ length: BLOCKS }, () => undefined);
        let end = 0;
        for await (const change of runChanges(given(runsOf(left)), given(runsOf(right)))) {
          assert(change.begin >= end && change.length > 0);
          end = change.begin + change.length;
          told.fill(change.kind, change.begin, end);
        }
        const expected = left.map((chunk, at) =>
          chunk === right[at] ? undefined : right[at] === undefined ? 'gone' : 'data',
        );
        assert.deepEqual(told, expected);
      }),
    );
  });
});

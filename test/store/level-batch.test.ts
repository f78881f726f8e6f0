import assert from 'node:assert/strict';
import { cp, readdir } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { chunkId } from '../../src/format/ids.js';
import { chunkKey } from '../../src/format/keys.js';
import type { KvOperation } from '../../src/store/key-value.js';
import { BATCH_HEAD, batchHeader, beginsBatchAfter, unpackBatch } from '../../src/store/level-batch.js';
import { readLog } from '../../src/store/level-log.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { useScratch } from '../support/mounts.js';

const operation: fc.Arbitrary<KvOperation> = fc.oneof(
  fc.record({
    type: fc.constant('put' as const),
    key: fc.nat(1000).map((chunk) => chunkKey(chunkId(chunk))),
    // Longer than a block of the log, too.
    value: fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.nat(90_000).map((length) => new Uint8Array(length).fill(7)),
    ),
  }),
  fc.record({
    type: fc.constant('del' as const),
    key: fc.nat(1000).map((chunk) => chunkKey(chunkId(chunk))),
  }),
);

describe("batches in LevelDB's own log", function () {
  this.timeout(120_000);
  const scratch = useScratch();

  it('are read from what LevelDB wrote as they were given to it', async () => {
    const batches = fc.sample(fc.array(operation, { minLength: 1, maxLength: 6 }), 60);
    const folder = scratch.current.at('store');
    const store = await openLevelStore(folder, { createIfMissing: true });
    for (const batch of batches) await store.batch(batch, { sync: true });
    // LevelDB turns its log into a table when it is opened again.
    const copy = scratch.current.at('copy');
    await cp(folder, copy, { recursive: true });
    await store.close();
    const [name, ...others] = (await readdir(copy)).filter((one) => one.endsWith('.log'));
    assert.ok(name !== undefined && others.length === 0);
    const records: Buffer[] = [];
    const end = await readLog(path.join(copy, name), {
      headBytes: Infinity,
      record: (data) => {
        records.push(Buffer.from(data));
        return undefined;
      },
      follows: () => false,
    });
    assert.deepEqual(end, { badAt: undefined, damage: undefined, behind: 0, lastBehindAt: 0 });
    let next = batchHeader(records[0]!)!.sequence;
    const read = records.map((record) => {
      const { sequence, count } = batchHeader(record)!;
      assert.equal(sequence, next);
      assert.ok(beginsBatchAfter(record.subarray(0, BATCH_HEAD), { from: next, to: next, gap: 0 }));
      assert.equal(beginsBatchAfter(record, { from: next + 1, to: next + 1, gap: 0 }), false);
      next += count;
      return unpackBatch(record)!.map(({ key, value }) => [
        hex(key),
        value === undefined ? 'deleted' : hex(value),
      ]);
    });
    assert.deepEqual(
      read,
      batches.map((batch) =>
        batch.map((one) => [hex(one.key), one.type === 'put' ? hex(one.value) : 'deleted']),
      ),
    );
    for (const record of records)
      for (const length of [0, 11, record.length - 1])
        assert.equal(unpackBatch(record.subarray(0, length)), undefined, `${length} of ${record.length}`);
  });
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

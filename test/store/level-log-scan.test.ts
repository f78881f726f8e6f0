import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { maskedCrc } from '../../src/store/level-bytes.js';
import { LOG_BLOCK, LogScan, wholeRecords, type LogEnd } from '../../src/store/level-log-scan.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { useScratch } from '../support/mounts.js';
import { numberedBatch } from '../support/numbered-batches.js';
import { filesLike } from '../support/numbered-store.js';

const HEADER = 7;

/** As LevelDB's doc/log_format.md has it. @returns where each record begins */
function packLog(records: readonly Buffer[]): { log: Buffer; places: number[] } {
  const parts: Buffer[] = [];
  const places: number[] = [];
  let at = 0;
  const add = (part: Buffer): void => {
    parts.push(part);
    at += part.length;
  };
  for (const record of records) {
    let rest = record;
    for (let isFirst = true; isFirst || rest.length > 0; isFirst = false) {
      const room = LOG_BLOCK - (at % LOG_BLOCK);
      if (room < HEADER) add(Buffer.alloc(room));
      if (isFirst) places.push(at);
      const most = LOG_BLOCK - (at % LOG_BLOCK) - HEADER;
      const data = rest.subarray(0, most);
      rest = rest.subarray(data.length);
      const type = isFirst ? (rest.length === 0 ? 1 : 2) : rest.length === 0 ? 4 : 3;
      const fragment = Buffer.concat([Buffer.alloc(6), Buffer.of(type), data]);
      fragment.writeUInt32LE(maskedCrc(fragment.subarray(6)), 0);
      fragment.writeUInt16LE(data.length, 4);
      add(fragment);
    }
  }
  return { log: Buffer.concat(parts), places };
}

function scan(log: Buffer): { records: Buffer[]; end: LogEnd } {
  const records: Buffer[] = [];
  const reader = new LogScan({
    headBytes: Infinity,
    record: (data) => (records.push(Buffer.from(data)), undefined),
    follows: () => true,
  });
  for (let at = 0; at < log.length; at += LOG_BLOCK) reader.block(log.subarray(at, at + LOG_BLOCK), at);
  return { records, end: reader.end() };
}

const some = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 50_000 }), fc.nat(255)), { minLength: 1, maxLength: 6 })
  .map((sizes) => sizes.map(([length, byte]) => Buffer.alloc(length, byte)));

describe('a log of LevelDB that is read', () => {
  const scratch = useScratch();

  it('has every record, whatever blocks they lie in', () => {
    fc.assert(
      fc.property(some, (records) => {
        const found = scan(packLog(records).log);
        assert.deepEqual(found.records.length, records.length);
        for (const [n, record] of records.entries()) assert.ok(found.records[n]!.equals(record));
        assert.equal(found.end.badAt, undefined);
      }),
      { numRuns: 50 },
    );
  });

  it('has the records before the place where a crash cut it, and no damage', () => {
    fc.assert(
      fc.property(some, fc.nat(), (records, where) => {
        const { log, places } = packLog(records);
        const cut = where % log.length;
        const found = scan(log.subarray(0, cut));
        const whole = places.filter((_, n) => (places[n + 1] ?? log.length) <= cut).length;
        // Filler at the end of a block is no part of the record before it.
        assert.ok(found.records.length === whole || found.records.length === whole + 1);
        assert.equal(found.end.damage, undefined);
      }),
      { numRuns: 50 },
    );
  });

  it('shows that a record was lost where one that is whole follows it', () => {
    const records = [1, 2, 3].map((byte) => Buffer.alloc(300, byte));
    const { log, places } = packLog(records);
    log[places[1]! + 50]! ^= 1;
    const { records: found, end } = scan(log);
    assert.deepEqual(found, [records[0]]);
    assert.deepEqual([end.badAt, end.behind, end.lastBehindAt], [places[1], 1, places[2]]);
    assert.match(end.damage!, /follow it/);
  });

  it('shows a length that alone is wrong, also in the last record', () => {
    const { log, places } = packLog([Buffer.alloc(300, 1), Buffer.alloc(300, 2)]);
    log.writeUInt16LE(299, places[1]! + 4);
    assert.equal(scan(log).end.damage, 'its length is wrong');
  });

  it('of LevelDB’s own making has its batches', async () => {
    const folder = scratch.current.at('store');
    const store = await openLevelStore(folder, { createIfMissing: true });
    for (let n = 1; n <= 20; n++) await store.batch(numberedBatch(n), { sync: true });
    const [file] = await filesLike(folder, /\.log$/);
    const found = scan(await readFile(file!));
    assert.equal(found.records.length, 20);
    assert.equal(found.end.badAt, undefined);
    await store.close();
  });

  it('that is read while it is written is read up to a whole record', () => {
    const { log, places } = packLog([Buffer.alloc(300, 1), Buffer.alloc(300, 2)]);
    assert.equal(wholeRecords(log), log.length);
    assert.equal(wholeRecords(log.subarray(0, -1)), places[1]);
    assert.equal(wholeRecords(log.subarray(0, places[1]! + 3)), places[1]);
  });
});

import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  LOG_LINE,
  LogKind,
  logRecordSize,
  logSalt,
  NO_FIELDS,
  packLine,
  packRecord,
  placeRecord,
} from '../../src/format/log-record.js';
import { readLog, type LogBounds } from '../../src/store/read-log.js';

const RING = 64 * LOG_LINE;
const ID = 'log';
const EPOCH = 3;
const SALT = logSalt(ID, EPOCH);
const BOUNDS: LogBounds = {
  id: ID,
  epoch: EPOCH,
  position: 0,
  isWhole: true,
  marked: undefined,
  isDirect: false,
  path: 'the log',
};

/** A ring with records of these sizes, and an END behind them. @returns where each begins, and the end */
function write(ring: Buffer, payloads: readonly number[], synced: readonly number[] = []): number[] {
  const places = [0];
  for (const [n, length] of payloads.entries()) {
    const at = places.at(-1)!;
    const record = ring.subarray(at, at + logRecordSize(length));
    const fields = { ...NO_FIELDS, kind: LogKind.DATA, chunk: n };
    const sum = packRecord(record, fields, { from: Buffer.alloc(length, n), at: 0, length }, SALT);
    placeRecord(record, at, synced[n] ?? 0, sum);
    places.push(at + record.length);
  }
  const end = places.at(-1)!;
  packLine(
    ring.subarray(end, end + LOG_LINE),
    { ...NO_FIELDS, kind: LogKind.END },
    { position: end, synced: 0 },
    SALT,
  );
  return places;
}

const payloads = fc.array(fc.nat(3 * LOG_LINE), { minLength: 1, maxLength: 12 });

describe('a log that is read', () => {
  it('has every record up to its END, in order', () => {
    fc.assert(
      fc.property(payloads, (lengths) => {
        const ring = Buffer.alloc(RING);
        const end = write(ring, lengths).at(-1);
        const log = readLog(ring, BOUNDS);
        assert.deepEqual(
          log.records.map(({ chunk }) => chunk),
          lengths.map((_, n) => n),
        );
        assert.deepEqual(
          log.records.map(({ payload }) => payload.length),
          lengths,
        );
        assert.deepEqual([log.end, log.problem], [end, undefined]);
      }),
    );
  });

  it('ends before the first record that is torn, which is damage only where it was promised', () => {
    fc.assert(
      fc.property(payloads, fc.nat(), fc.nat(), (lengths, which, byte) => {
        const ring = Buffer.alloc(RING);
        const places = write(ring, lengths);
        const torn = which % lengths.length;
        const at = places[torn]! + (byte % (places[torn + 1]! - places[torn]!));
        // Filler behind a payload is nothing that is read.
        if (at >= places[torn]! + LOG_LINE + lengths[torn]!) return;
        ring[at]! ^= 0xff;
        const stopped = readLog(ring, { ...BOUNDS, isWhole: false });
        assert.deepEqual([stopped.records.length, stopped.end], [torn, places[torn]]);
        assert.equal(stopped.problem, undefined);
        // No machine has stopped, so that it was changed by something else.
        assert.equal(readLog(ring, BOUNDS).problem?.code, 'damaged');
        for (const marked of [places[torn]! + 1, places[torn]!])
          assert.equal(
            readLog(ring, { ...BOUNDS, isWhole: false, marked }).problem?.code,
            marked > places[torn]! ? 'damaged' : undefined,
          );
      }),
    );
  });

  it('is damaged where a later record says that the torn one was synced', () => {
    const ring = Buffer.alloc(RING);
    const places = write(ring, [0, 0, 0, 0], [0, 0, 0, 2 * LOG_LINE]);
    ring[places[1]! + 30]! ^= 1;
    assert.equal(readLog(ring, { ...BOUNDS, isWhole: false }).problem?.code, 'damaged');
  });

  it('takes no record of another epoch for its own', () => {
    const ring = Buffer.alloc(RING);
    write(ring, [0, 0]);
    assert.deepEqual(readLog(ring, { ...BOUNDS, isWhole: false, epoch: EPOCH + 1 }).records, []);
  });
});

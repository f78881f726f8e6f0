import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { LOG_LINE } from '../../src/format/log-record.js';
import { logMemory, LogWords } from '../../src/store/log-memory.js';

const LINES = 8;

function words(): LogWords {
  const file = { id: '00'.repeat(16), epoch: 1, fd: -1, markFd: -1, ring: LINES * LOG_LINE, start: 0 };
  const made = new LogWords(logMemory(file));
  made.phase = 'on';
  return made;
}

describe('what threads share of the log', () => {
  it('gives each record the place behind the one before', () => {
    const log = words();
    const places: number[] = [];
    for (const lines of [1, 3])
      log.append(true, (head) => {
        places.push(head);
        return head + lines * LOG_LINE;
      });
    assert.deepEqual(places, [0, LOG_LINE]);
    assert.equal(log.head, 4 * LOG_LINE);
    assert.equal(log.fullness, 4 / LINES);
  });

  it('appends again after an append that failed', () => {
    const log = words();
    const refuse = (): never => {
      throw new Error('no');
    };
    assert.throws(() => log.append(true, refuse));
    log.append(true, (head) => head + LOG_LINE);
    assert.equal(log.head, LOG_LINE);
  });

  it('reserves no more lines than the ring has, and takes nothing where it refuses', () => {
    const log = words();
    assert(log.reserve(LINES));
    assert(!log.reserve(1));
    assert.equal(log.fullness, 1);
    log.release(2);
    assert(log.reserve(2));
    log.free(LINES * LOG_LINE);
    assert.equal(log.fullness, 0);
  });

  it('refuses nothing where it is not in use: the store alone makes durable', () => {
    const log = words();
    log.phase = 'off';
    assert(log.reserve(2 * LINES));
  });

  it('never takes back what was noted as synced', () => {
    const log = words();
    log.noteSynced(5);
    log.noteSynced(3);
    log.noteDataSynced(7);
    log.noteDataSynced(6);
    assert.equal(log.synced, 5);
    assert.equal(log.dataSynced, 7);
    assert(!log.takeFreshMark(), 'there is no file for a mark');
  });

  it('is broken from its first failure on, and says which', () => {
    const log = words();
    assert.equal(log.failure, 0);
    log.fail(Object.assign(new Error('full'), { errno: -constants.errno.ENOSPC }));
    assert.equal(log.phase, 'broken');
    assert.equal(log.failure, constants.errno.ENOSPC);
    assert(!log.isOn);
  });
});

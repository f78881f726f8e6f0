import assert from 'node:assert/strict';
import { FlushRhythm } from '../../src/threads/flush-rhythm.js';

describe('the rhythm of writes and flushes', () => {
  /** What two threads share. */
  function inTurns(times: number): [FlushRhythm, FlushRhythm] {
    const one = new FlushRhythm();
    const other = new FlushRhythm(one.memory);
    for (let i = 0; i < times; i++) {
      one.write();
      other.flush();
    }
    return [one, other];
  }

  it('expects a flush after a write once many writes in a row had one each', () => {
    const [rhythm, other] = inTurns(100);
    rhythm.write();
    assert(rhythm.expectsFlush);
    assert(other.expectsFlush);
  });

  it('expects none after a few', () => {
    const [rhythm] = inTurns(3);
    rhythm.write();
    assert(!rhythm.expectsFlush);
  });

  for (const [what, disturb] of [
    ['a second write', (rhythm: FlushRhythm) => (rhythm.write(), rhythm.write())],
    ['a read', (rhythm: FlushRhythm) => (rhythm.other(), rhythm.write())],
    ['a flush with nothing before it', (rhythm: FlushRhythm) => (rhythm.flush(), rhythm.write())],
  ] as const)
    it(`expects none after ${what}, and learns it anew`, () => {
      const [rhythm] = inTurns(100);
      disturb(rhythm);
      assert(!rhythm.expectsFlush);
      rhythm.flush();
      rhythm.write();
      if (what !== 'a second write') assert(!rhythm.expectsFlush);
      rhythm.flush();
      for (let i = 0; i < 100; i++) {
        rhythm.write();
        rhythm.flush();
      }
      rhythm.write();
      assert(rhythm.expectsFlush);
    });
});

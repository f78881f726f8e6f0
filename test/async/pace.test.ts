import assert from 'node:assert/strict';
import { inTurns } from '../../src/async/pace.js';

describe('work in turns', () => {
  it('lets others pass between its steps, and answers at its end', async () => {
    let passed = 0;
    const other = setInterval(() => passed++, 0);
    // It ends only when somebody else had a turn.
    function* steps(): Generator<undefined, string, undefined> {
      while (passed < 3) yield;
      return 'done';
    }
    try {
      assert.equal(await inTurns(steps()), 'done');
    } finally {
      clearInterval(other);
    }
  });

  it('fails as a step does', async () => {
    function* steps(): Generator<undefined, never, undefined> {
      yield;
      throw new Error('broken');
    }
    await assert.rejects(inTurns(steps()), /broken/);
  });
});

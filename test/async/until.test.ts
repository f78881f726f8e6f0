import assert from 'node:assert/strict';
import { until } from '../../src/async/until.js';

describe('until', () => {
  it('asks once where the answer is yes, however short the patience', async () => {
    let asked = 0;
    assert.equal(await until(() => ++asked > 0, { limitMs: 0, pollMs: 1000 }), true);
    assert.equal(asked, 1);
  });

  it('asks until it holds', async () => {
    let asked = 0;
    assert.equal(await until(() => Promise.resolve(++asked === 4), { limitMs: 60_000, pollMs: 1 }), true);
    assert.equal(asked, 4);
  });

  it('gives up when the limit has passed, and throws what the question throws', async () => {
    assert.equal(await until(() => false, { limitMs: 5, pollMs: 1 }), false);
    const question = (): boolean => {
      throw new Error('no answer');
    };
    await assert.rejects(until(question, { limitMs: 60_000, pollMs: 1 }), /no answer/);
  });
});

import assert from 'node:assert/strict';
import { retried, until } from '../../src/async/until.js';

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

describe('work that is tried again', () => {
  const passes = (error: unknown): boolean => error === 'busy';

  it('answers as the first try that works, and throws at once what does not pass', async () => {
    let tries = 0;
    const work = (): Promise<number> => (++tries < 3 ? Promise.reject('busy') : Promise.resolve(tries));
    assert.equal(await retried(work, passes, { limitMs: 60_000, pollMs: 1 }), 3);
    tries = 0;
    const broken = (): Promise<never> => (tries++, Promise.reject(new Error('broken')));
    await assert.rejects(retried(broken, passes, { limitMs: 60_000, pollMs: 1 }), /broken/);
    assert.equal(tries, 1);
  });

  it('fails as its last try when the limit has passed', async () => {
    const busy = (): Promise<never> => Promise.reject('busy');
    await assert.rejects(retried(busy, passes, { limitMs: 5, pollMs: 1 }), (error) => error === 'busy');
  });
});

import assert from 'node:assert/strict';
import { RequestEpochs } from '../../src/threads/request-epochs.js';

describe('epochs of requests', () => {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  async function isQuiet(epochs: RequestEpochs): Promise<() => boolean> {
    let quiet = false;
    void epochs.quiet().then(() => (quiet = true));
    for (let i = 0; i < 5; i++) await turn();
    return () => quiet;
  }

  it('are quiet when nobody is inside', async () => {
    const epochs = new RequestEpochs();
    epochs.enter(3);
    epochs.leave(3);
    assert.equal((await isQuiet(epochs))(), true);
    epochs.waitQuiet();
  });

  it('wait for those who are inside, and not for those who come later', async () => {
    const epochs = new RequestEpochs();
    const other = new RequestEpochs(epochs.memory);
    other.enter(0);
    const quiet = await isQuiet(epochs);
    assert.equal(quiet(), false);
    other.enter(1);
    other.leave(0);
    other.enter(0);
    for (let i = 0; i < 5; i++) await turn();
    assert.equal(quiet(), true, 'the request that was in flight has ended');
    other.leave(0);
    other.leave(1);
    epochs.waitQuiet();
  });
});

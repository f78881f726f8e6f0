import assert from 'node:assert/strict';
import { defaultChunkCache } from '../../src/pool/limits.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import { resizeCache } from '../../src/pool/resize-cache.js';

/** Notes what happens to its one active device, in order. */
function fakeState(resize: (bytes: number) => void): { state: PoolState; steps: string[] } {
  const steps: string[] = [];
  const device = { retire: () => steps.push('retire'), renew: () => steps.push('renew') };
  const plane = {
    epochs: { waitQuiet: () => steps.push('quiet') },
    resizeCache: (bytes: number) => {
      steps.push(`resize ${bytes}`);
      resize(bytes);
    },
  };
  return { state: { plane, active: new Map([[2, device]]) } as unknown as PoolState, steps };
}

describe('another size of the chunk cache', () => {
  it('is taken while no request is in the cache', () => {
    const { state, steps } = fakeState(() => undefined);
    resizeCache(state, 1000);
    assert.deepEqual(steps, ['retire', 'quiet', 'resize 1000', 'renew']);
  });

  it("is the machine's own where it is 0", () => {
    const { state, steps } = fakeState(() => undefined);
    resizeCache(state, 0);
    assert.equal(steps[2], `resize ${defaultChunkCache()}`);
  });

  it('is refused where there is not so much memory, and devices go on', () => {
    const { state, steps } = fakeState(() => {
      throw new RangeError('Array buffer allocation failed');
    });
    assert.throws(() => resizeCache(state, 2 ** 50), { code: 'invalid-argument' });
    assert.equal(steps.at(-1), 'renew');
  });
});

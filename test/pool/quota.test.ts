import assert from 'node:assert/strict';
import { requireQuota } from '../../src/pool/quota.js';

describe('a quota', () => {
  it('is at least what the device maps, or none', () => {
    requireQuota('web', 0, 10, 65536);
    requireQuota('web', 655360, 10, 65536);
    assert.throws(() => requireQuota('web', 655359, 10, 65536), { code: 'invalid-argument' });
  });

  it('is a number of bytes', () => {
    for (const quota of [-1, 0.5, NaN, 2 ** 53])
      assert.throws(() => requireQuota('web', quota, 0, 65536), { code: 'invalid-argument' });
  });
});

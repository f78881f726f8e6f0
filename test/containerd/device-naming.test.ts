import assert from 'node:assert/strict';
import fc from 'fast-check';
import { snapshotDeviceName } from '../../src/containerd/device-naming.js';
import { parseDeviceName } from '../../src/format/device-name.js';

describe('names of snapshot devices', () => {
  it('are names for any key, the same for the same one, and show nothing of it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (key) => {
        const name = snapshotDeviceName('thinfuse', key, () => false);
        assert.equal(parseDeviceName(name), name);
        assert.match(name, /^containerd-[0-9a-f]{24}$/);
        assert.equal(
          snapshotDeviceName('thinfuse', key, () => false),
          name,
        );
      }),
    );
  });

  it('step aside for those that are there', () => {
    const taken = new Set<string>();
    for (const end of ['', '.2', '.3']) {
      const name = snapshotDeviceName('thinfuse', '../../etc/passwd', (one) => taken.has(one));
      assert(name.endsWith(end === '' ? name : end));
      taken.add(name);
    }
    assert.equal(taken.size, 3);
  });
});

import assert from 'node:assert/strict';
import type { DeviceIo } from '../../src/io/device-io.js';
import { suspended } from '../../src/pool/suspend.js';

describe('suspended devices', () => {
  it('are all quiet while the work runs, and all go on when it has failed', async () => {
    const quiet = new Set<string>();
    const device = (name: string): DeviceIo =>
      ({
        quiesced: async (work: () => unknown) => {
          quiet.add(name);
          try {
            return await work();
          } finally {
            quiet.delete(name);
          }
        },
      }) as unknown as DeviceIo;
    const devices = [device('a'), device('b')];
    assert.deepEqual(await suspended(devices, (all) => [all.length, quiet.size]), [2, 2]);
    await assert.rejects(
      suspended(devices, () => Promise.reject(new Error('no'))),
      /no/,
    );
    assert.equal(quiet.size, 0);
    assert.equal(await suspended([], () => 'nothing to wait for'), 'nothing to wait for');
  });
});

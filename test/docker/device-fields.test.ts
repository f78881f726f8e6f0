import assert from 'node:assert/strict';
import { fieldTable } from '../../src/docker/device-fields.js';

describe('fields of devices', () => {
  it('makes a table of more devices than a call takes arguments', () => {
    const device = { mapped: 0, exclusive: 0, shared: 0, highestMapped: 0, name: 'a' };
    const its = { ...device, transactionId: 1, creationTime: 2, snapTime: 3 };
    const devices = Array.from({ length: 300_000 }, (_, id) => ({ ...its, id }));
    const lines = fieldTable(devices, ['DEV', 'MAPPED'], { blockSize: 65536, headers: true }).split('\n');
    assert.deepEqual([lines.length, lines[0], lines.at(-1)], [300_001, '   DEV MAPPED ', '299999      0 ']);
  });
});

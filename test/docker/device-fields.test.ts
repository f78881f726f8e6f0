import assert from 'node:assert/strict';
import { FIELD_NAMES, fieldTable, parseFields } from '../../src/docker/device-fields.js';

describe('fields of devices', () => {
  it('takes fields in either case, all of them, and those besides the table', () => {
    assert.deepEqual(parseFields('name, Mapped', FIELD_NAMES), ['NAME', 'MAPPED']);
    assert.deepEqual(parseFields('all', FIELD_NAMES), FIELD_NAMES);
    assert.deepEqual(parseFields('+label,name', FIELD_NAMES).slice(-2), ['MOUNTPOINT', 'LABELS']);
    assert.deepEqual(parseFields('+dev'), ['NAME', 'MAPPED', 'DEV']);
    assert.throws(() => parseFields('nmae', FIELD_NAMES), { details: { suggestion: 'name' } });
    assert.throws(() => parseFields('frobnicate'), /choose from DEV, NAME/);
  });

  it('makes a table of more devices than a call takes arguments', () => {
    const device = { mapped: 0, exclusive: 0, shared: 0, highestMapped: 0, name: 'a' };
    const its = { ...device, transactionId: 1, creationTime: 2, snapTime: 3 };
    const devices = Array.from({ length: 300_000 }, (_, id) => ({ ...its, id }));
    const lines = fieldTable(devices, ['DEV', 'MAPPED'], { blockSize: 65536, headers: true }).split('\n');
    assert.deepEqual([lines.length, lines[0], lines.at(-1)], [300_001, '   DEV MAPPED ', '299999      0 ']);
  });
});

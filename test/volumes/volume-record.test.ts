import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  packVolumeRecord,
  unpackVolumeRecord,
  volumeDeviceName,
  type VolumeRecord,
} from '../../src/volumes/volume-record.js';

// The options that a volume can have are a closed list, and no list has this one: the schema leaves it out.
const option = fc.string().filter((name) => name !== '__proto__');
const record = fc.record<VolumeRecord>({
  name: fc.string(),
  state: fc.constantFrom('making', 'fresh', 'used'),
  options: fc.dictionary(option, fc.string()),
});

describe('volume record', () => {
  it('comes back from its label', () => {
    fc.assert(
      fc.property(record, (given) => {
        assert.deepEqual(
          { ...unpackVolumeRecord(packVolumeRecord(given), 'd') },
          JSON.parse(JSON.stringify(given)),
        );
      }),
    );
  });

  it('leaves labels of others alone', () => {
    for (const label of ['', 'containerd:{"key":"a"}', 'containerd:retired', 'volume', 'volume:x'])
      assert.equal(unpackVolumeRecord(label, 'd'), undefined);
  });

  it('names the device whose label is damaged', () => {
    for (const label of ['volume:{', 'volume:{}', 'volume:{"name":1,"state":"used","options":{}}'])
      assert.throws(() => unpackVolumeRecord(label, 'volume-db'), { code: 'damaged', message: /volume-db/ });
  });

  it('is kept in a device that its name says', () => {
    assert.equal(volumeDeviceName('db1'), 'volume-db1');
    const long = volumeDeviceName('x'.repeat(200));
    assert.match(long, /^volume-\+[0-9a-f]{24}$/);
    assert.notEqual(long, volumeDeviceName('x'.repeat(201)));
  });

  it('takes the names that engines allow, and no others', () => {
    for (const name of ['', '.', '..', '../x', 'a/b', '-a', 'a b', 'a:b', 'ü', 'x'.repeat(256), 'a\n'])
      assert.throws(() => volumeDeviceName(name), { code: 'invalid-argument' }, JSON.stringify(name));
  });
});

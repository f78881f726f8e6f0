import assert from 'node:assert/strict';
import { readStorageOpts } from '../../src/config/daemon-json.js';

describe('config: daemon.json', () => {
  const read = (value: unknown): readonly string[] =>
    readStorageOpts(JSON.stringify(value), '/etc/docker/daemon.json');

  it('takes the storage-opts out of a file as Docker has it', () => {
    const options = ['dm.basesize=20G', 'dm.use_deferred_removal=true'];
    assert.deepEqual(read({ 'storage-driver': 'devicemapper', 'storage-opts': options }), options);
    assert.deepEqual(
      read({ debug: true, 'log-opts': { 'max-size': '10m' }, 'storage-opts': options }),
      options,
    );
  });

  it('finds none where there are none', () => {
    assert.deepEqual(read({}), []);
    assert.deepEqual(read({ 'storage-driver': 'overlay2' }), []);
    assert.deepEqual(read({ 'storage-driver': 'overlay2', 'storage-opts': [] }), []);
  });

  it('names the file and the place of what is wrong', () => {
    for (const [value, expected] of [
      [{ 'storage-opts': 'dm.basesize=20G' }, /daemon\.json: storage-opts: /],
      [{ 'storage-opts': ['dm.fs=xfs', 3] }, /daemon\.json: storage-opts\.1: /],
      [[], /daemon\.json: its top: /],
      [null, /daemon\.json: its top: /],
      [{ 'storage-driver': 'overlay2', 'storage-opts': ['overlay2.size=1G'] }, /storage driver overlay2/],
    ] as const)
      assert.throws(() => read(value), { code: 'invalid-argument', message: expected });
  });

  it('refuses what is not JSON', () => {
    for (const text of ['', '{', '{"storage-opts": [}', '# comment'])
      assert.throws(() => readStorageOpts(text, '/x/daemon.json'), {
        code: 'invalid-argument',
        message: /^\/x\/daemon\.json is not JSON: /,
      });
  });
});

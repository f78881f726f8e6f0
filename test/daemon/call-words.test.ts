import assert from 'node:assert/strict';
import { callWords } from '../../src/daemon/call-words.js';

describe('what a call did', () => {
  it('is told of the user’s devices, in words', () => {
    assert.equal(
      callWords('device.create', { name: 'web', origin: 'debian', kind: 'container' }),
      'web was made, a container of debian',
    );
    assert.equal(
      callWords('device.create', { name: 'debian', kind: 'image' }),
      'debian was made, an image of base',
    );
    assert.equal(callWords('device.clone', { origin: 'a', names: ['b', 'c'] }), 'b, c: made, as a is');
    const names = Array.from({ length: 200 }, (_, at) => `ci-${at + 1}`);
    assert.equal(
      callWords('device.clone', { origin: 'a', names }),
      'ci-1, ci-2, ci-3 and 197 others: made, as a is',
    );
    assert.equal(
      callWords('mount', { name: 'web', target: '/srv', readOnly: true }),
      'web is mounted on /srv, read-only',
    );
    assert.equal(callWords('device.quota', { name: 'web', quota: 2 ** 30 }), 'web has a quota of 1G');
    assert.equal(callWords('device.seal', { name: 'debian', maker: '1-2-a' }), 'debian is an image now');
    assert.equal(callWords('doctor', { fix: true }), 'the doctor looked at the pool');
  });

  it('is internal where it only looks, or is a step of a command', () => {
    for (const operation of [
      'status',
      'device.list',
      'device.get',
      'view.open',
      'view.close',
      'pool.commit',
    ] as const)
      assert.equal(callWords(operation, { name: 'web' }), undefined);
    assert.equal(callWords('doctor', {}), undefined);
    assert.equal(callWords('device.create', { name: 'debian', kind: 'snapshot', maker: '1-2-a' }), undefined);
    assert.equal(callWords('device.remove', { name: 'thinfuse-passing-7-1', force: true }), undefined);
    assert.equal(callWords('device.rename', { name: 'web', to: 'thinfuse-passing-7-1' }), undefined);
    assert.equal(callWords('device.get', undefined), undefined);
  });
});

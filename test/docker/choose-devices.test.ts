import assert from 'node:assert/strict';
import { filtered, sorted } from '../../src/docker/choose-devices.js';
import { device, GIB } from '../support/pool-values.js';

const base = device(1, 'base');
const all = [
  base,
  device(2, 'web-1', { kind: 'container', size: 20 * GIB, mapped: 3 * GIB, active: true }),
  device(3, 'web-2', { kind: 'container', mapped: 2 ** 20, mountPoint: '/mnt/web-2', loop: '/dev/loop1' }),
];
const names = (devices: readonly { name: string }[]): readonly string[] => devices.map(({ name }) => name);

describe('docker: choosing devices', () => {
  it('sorts by any key, both ways', () => {
    assert.deepEqual(names(sorted(all, '-mapped')), ['web-1', 'web-2', 'base']);
    assert.deepEqual(names(sorted(all, 'Name')), ['base', 'web-1', 'web-2']);
    assert.throws(() => sorted(all, 'frob'), { code: 'invalid-argument' });
  });

  it('filters by texts, patterns, sizes and states, all of them', () => {
    const chosen = (...conditions: string[]) => names(filtered(all, conditions));
    assert.deepEqual(chosen('name=web-*'), ['web-1', 'web-2']);
    assert.deepEqual(chosen('name=web.1'), []);
    assert.deepEqual(chosen('mapped>=1M', 'mapped<1G'), ['web-2']);
    assert.deepEqual(chosen('state=mounted'), ['web-2']);
    assert.deepEqual(chosen('kind!=container'), ['base']);
    assert.deepEqual(chosen('size=20G'), ['web-1']);
    assert.deepEqual(chosen('created<2000-01-01'), []);
    assert.deepEqual(chosen('fstype=xfs', 'kind=c*', 'state=m*'), ['web-2']);
    for (const wrong of ['state', 'frob=1', 'size>large'])
      assert.throws(() => chosen(wrong), { code: 'invalid-argument' });
  });

  it('refuses what no device can be, and says what may have been meant', () => {
    for (const [wrong, meant] of [
      ['state=mount', 'mounted'],
      ['kind=containr', 'container'],
      ['stat=mounted', 'state'],
    ] as const)
      assert.throws(() => filtered(all, [wrong]), {
        code: 'invalid-argument',
        message: new RegExp(`did you mean ${meant}`),
        details: { suggestion: meant },
      });
    assert.throws(() => sorted(all, '-mappd'), { details: { suggestion: 'mapped' } });
  });
});

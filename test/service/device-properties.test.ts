import assert from 'node:assert/strict';
import { filtered } from '../../src/docker/choose-devices.js';
import { changedLabels } from '../../src/service/device-properties.js';
import { device } from '../support/pool-values.js';

describe('labels', () => {
  it('are set, changed and taken away, in the order of their keys', () => {
    const one = changedLabels('db', {}, { team: 'shop', 'a.b/c': '1' });
    assert.deepEqual(Object.entries(one), [
      ['a.b/c', '1'],
      ['team', 'shop'],
    ]);
    assert.deepEqual(changedLabels('db', one, { team: null, gone: null, 'a.b/c': '' }), { 'a.b/c': '' });
  });

  it('have keys and values of a kind that a command line can name', () => {
    for (const key of ['', '-a', 'a b', 'a=b', 'ä', 'a'.repeat(129)])
      assert.throws(() => changedLabels('db', {}, { [key]: 'x' }), /cannot have the label/);
    for (const value of ['a\nb', 'x'.repeat(1025)])
      assert.throws(() => changedLabels('db', {}, { key: value }), /cannot have that value/);
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`k${at}`, '']));
    assert.throws(() => changedLabels('db', {}, many), /more than 64/);
  });

  it('are found by key and value, and what a program keeps is found as before', () => {
    const devices = [
      device(2, 'a', { labels: { team: 'shop', x: '' } }),
      device(3, 'b', { labels: { team: 'web' } }),
      device(4, 'c', { label: '{"volume":1}' }),
    ];
    const names = (...conditions: readonly string[]): readonly string[] =>
      filtered(devices, conditions).map(({ name }) => name);
    assert.deepEqual(names('label=team'), ['a', 'b']);
    assert.deepEqual(names('label=team=shop'), ['a']);
    assert.deepEqual(names('label=team=s*', 'label=x'), ['a']);
    assert.deepEqual(names('label!=team'), ['c']);
    assert.deepEqual(names('label=*volume*'), ['c']);
  });
});

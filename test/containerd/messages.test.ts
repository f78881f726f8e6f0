import assert from 'node:assert/strict';
import { askedBy } from '../../src/containerd/asked.js';
import { infoMessage, updatedLabels } from '../../src/containerd/messages.js';
import { STATUS, statusOf } from '../../src/containerd/status.js';
import { wallClock } from '../../src/containerd/wall-clock.js';
import { THIN_ERROR_CODES } from '../../src/errors/thin-error.js';
import { snapshotRecord } from '../support/snapshot-values.js';

describe('messages of containerd', () => {
  it('carry times to the nanosecond, also past what a number holds', () => {
    const { createdAt } = infoMessage(snapshotRecord({ createdAt: 9_223_372_036_854_775_807n }));
    assert.deepEqual(createdAt, { seconds: '9223372036', nanos: 854_775_807 });
  });

  it('change the labels that a mask names, and all without one', () => {
    const has = { a: '1', b: '2' };
    assert.deepEqual(updatedLabels(has, { c: '3' }, []), { c: '3' });
    assert.deepEqual(updatedLabels(has, { c: '3' }, ['labels']), { c: '3' });
    assert.deepEqual(updatedLabels(has, { a: '9', c: '3' }, ['labels.a']), { a: '9', b: '2' });
    assert.deepEqual(updatedLabels(has, {}, ['labels.a']), { b: '2' });
    assert.deepEqual(updatedLabels({}, { 'x.y/z': '1' }, ['labels.x.y/z']), { 'x.y/z': '1' });
    assert.deepEqual(updatedLabels(has, { d: '' }, ['labels']), {});
    for (const path of ['parent', 'kind', 'label'])
      assert.throws(() => updatedLabels(has, {}, [path]), { code: 'invalid-argument' });
  });

  it('answer every failure with a status', () => {
    const known: readonly number[] = Object.values(STATUS);
    for (const code of THIN_ERROR_CODES) assert(known.includes(statusOf(code)), code);
    assert.equal(statusOf('not-found'), 5);
    assert.equal(statusOf('exists'), 6);
    assert.equal(statusOf('busy'), 9);
    assert.equal(statusOf('invalid-argument'), 3);
  });

  it('choose a way to mount by a label', () => {
    const label = 'containerd.io/snapshot/thinfuse.mounts';
    assert.equal(askedBy({ [label]: 'loop' }).mounts, 'loop');
    assert.throws(() => askedBy({ [label]: 'nonsense' }), { code: 'invalid-argument' });
    assert.equal(askedBy({}).mounts, undefined);
  });

  it('ask for a size and for a mapping of owners, and are refused where they say nothing', () => {
    const of = (key: string, value: string): object => ({ [`containerd.io/snapshot/${key}`]: value });
    const maps = (uids: string, gids: string): Record<string, string> => ({
      ...of('uidmapping', uids),
      ...of('gidmapping', gids),
    });
    assert.equal(askedBy({ ...of('thinfuse.size', '30M') }).size, 30 * 2 ** 20);
    assert.equal(askedBy({ ...of('max-size', '1048577') }).size, 1_048_577);
    assert.equal(askedBy({ ...of('max-size', '1'), ...of('thinfuse.size', '2M') }).size, 2 ** 21);
    assert.deepEqual(askedBy(maps('0:100000:65536', '0:1:2,2:9:1')).mapping, {
      uids: '0:100000:65536',
      gids: '0:1:2,2:9:1',
    });
    for (const wrong of [
      of('max-size', '30M'),
      of('max-size', '-1'),
      of('thinfuse.size', 'much'),
      of('thinfuse.sise', '30M'),
      of('uidmapping', '0:1:2'),
      maps('0:1:2', 'all'),
    ])
      assert.throws(() => askedBy({ ...wrong }), { code: 'invalid-argument' }, JSON.stringify(wrong));
    const others = { ...of('cri.image-ref', 'docker.io/library/busybox:latest'), ...of('remote/x', 'y') };
    assert.equal(askedBy({ ...others }).size, undefined);
  });
});

describe('the clock of snapshots', () => {
  const at = (wholeMs: number, fineMs: number): bigint => wallClock(() => ({ wholeMs, fineMs }));

  it('is as fine as the monotonic clock, inside the millisecond that the host has', () => {
    assert.equal(at(1000, 1000.25), 1_000_250_000n);
    assert.equal(at(1000, 999.5), 1_000_000_000n);
    assert.equal(at(1000, 5000), 1_000_999_999n);
  });
});

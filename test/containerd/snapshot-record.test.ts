import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  packSnapshotRecord,
  RETIRED_LABEL,
  SNAPSHOT_KINDS,
  unpackSnapshotRecord,
  type SnapshotRecord,
} from '../../src/containerd/snapshot-record.js';
import { snapshotRecord } from '../support/snapshot-values.js';

const nanoseconds = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
const record: fc.Arbitrary<SnapshotRecord> = fc.record(
  {
    key: fc.string({ unit: 'binary' }),
    parent: fc.string({ unit: 'binary' }),
    kind: fc.constantFrom(...SNAPSHOT_KINDS),
    createdAt: nanoseconds,
    updatedAt: nanoseconds,
    labels: fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true }),
    bytes: fc.maxSafeNat(),
    inodes: fc.maxSafeNat(),
  },
  { noNullPrototype: true },
);

describe('records of snapshots', () => {
  it('come back from a label as they went into it', () => {
    fc.assert(
      fc.property(record, (one) => {
        fc.pre(!Object.hasOwn(one.labels, '__proto__'));
        assert.deepEqual(unpackSnapshotRecord(packSnapshotRecord(one), 'dev'), one);
      }),
    );
  });

  it('are in no label of anybody else', () => {
    for (const label of ['', 'mine', '{}', RETIRED_LABEL])
      assert.equal(unpackSnapshotRecord(label, 'dev'), undefined);
  });

  it('are damaged where a label only begins like one', () => {
    const good = packSnapshotRecord(snapshotRecord());
    for (const label of [good.slice(0, -1), 'containerd:{}', good.replace('active', 'lost'), `${good}x`])
      assert.throws(() => unpackSnapshotRecord(label, 'dev'), { code: 'damaged', message: /device dev/ });
  });

  it('are too large with a quarter of a megabyte of labels', () => {
    const labels = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`l${n}`, 'x'.repeat(4094)]));
    assert.throws(() => packSnapshotRecord(snapshotRecord({ labels })), { code: 'too-large' });
  });
});

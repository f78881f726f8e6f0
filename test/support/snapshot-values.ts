import type { SnapshotRecord } from '../../src/containerd/snapshot-record.js';

/** An active snapshot without parent or labels. */
export function snapshotRecord(change: Partial<SnapshotRecord> = {}): SnapshotRecord {
  return {
    key: 'key',
    parent: '',
    kind: 'active',
    createdAt: 1_700_000_000_123_456_789n,
    updatedAt: 1_700_000_000_123_456_789n,
    labels: {},
    bytes: 0,
    inodes: 0,
    ...change,
  };
}

import { ThinError } from '../errors/thin-error.js';
import type { Labels, SnapshotKind, SnapshotRecord } from './snapshot-record.js';

/**
 * Messages of proto/snapshots.proto as proto-loader gives and takes them: 64-bit numbers as text, names in
 * camel case, defaults filled in.
 */
export interface InfoMessage {
  readonly name: string;
  readonly parent: string;
  readonly kind: string;
  readonly createdAt: TimestampMessage | null;
  readonly updatedAt: TimestampMessage | null;
  readonly labels: Labels;
}

/** google.protobuf.Timestamp: seconds of Unix time, and nanoseconds past them. */
export interface TimestampMessage {
  readonly seconds: string;
  readonly nanos: number;
}

/** What containerd is to mount, as mount(8) would be told it. */
export interface MountMessage {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

const KIND: Readonly<Record<SnapshotKind, string>> = {
  view: 'VIEW',
  active: 'ACTIVE',
  committed: 'COMMITTED',
};
const NANOS_PER_SECOND = 1_000_000_000n;

export function infoMessage(record: SnapshotRecord): InfoMessage {
  return {
    name: record.key,
    parent: record.parent,
    kind: KIND[record.kind],
    createdAt: timestamp(record.createdAt),
    updatedAt: timestamp(record.updatedAt),
    labels: record.labels,
  };
}

function timestamp(nanoseconds: bigint): TimestampMessage {
  return {
    seconds: String(nanoseconds / NANOS_PER_SECOND),
    nanos: Number(nanoseconds % NANOS_PER_SECOND),
  };
}

/**
 * The labels after an Update (containerd's storage.UpdateInfo): those that `paths` names come from `given`,
 * without paths all of them; one with an empty value goes. Errors: invalid-argument for a field that cannot
 * change.
 */
export function updatedLabels(has: Labels, given: Labels, paths: readonly string[]): Labels {
  let labels = new Map<string, string>(Object.entries(paths.length === 0 ? given : has));
  for (const path of paths) {
    if (path === 'labels') labels = new Map(Object.entries(given));
    else if (path.startsWith('labels.')) {
      const key = path.slice('labels.'.length);
      labels.set(key, own(given, key) ?? '');
    } else
      throw new ThinError(
        'invalid-argument',
        `cannot update the field ${JSON.stringify(path)} of a snapshot: only labels change`,
      );
  }
  return withoutEmpty(labels);
}

/** containerd keeps no label without a value. */
export function withoutEmpty(labels: Iterable<readonly [string, string]>): Labels {
  return Object.fromEntries([...labels].filter(([, value]) => value !== ''));
}

function own(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

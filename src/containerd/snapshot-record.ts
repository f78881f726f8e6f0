import * as z from 'zod';
import { ThinError } from '../errors/thin-error.js';

/**
 * containerd's kinds (snapshots/snapshotter.go): what can be written, what can only be read, and what others
 * start from.
 */
export const SNAPSHOT_KINDS = ['view', 'active', 'committed'] as const;
export type SnapshotKind = (typeof SNAPSHOT_KINDS)[number];
export type Labels = Readonly<Record<string, string>>;

/**
 * What containerd knows of a snapshot. It is the label of the device that holds the snapshot's files, so
 * neither is ever without the other.
 */
export interface SnapshotRecord {
  /**
   * The name under which its containerd knows the snapshotter. Undefined: an older version recorded it
   * without a name; the first snapshotter that asks adopts it.
   */
  readonly snapshotter?: string | undefined;
  /** Opaque: containerd puts namespaces and sequence numbers into it. Two names may have the same. */
  readonly key: string;
  /** The key of a committed snapshot under the same name; empty for none. */
  readonly parent: string;
  readonly kind: SnapshotKind;
  /** Unix time, nanoseconds. */
  readonly createdAt: bigint;
  readonly updatedAt: bigint;
  readonly labels: Labels;
  /**
   * Of a committed one, when it was committed: bytes that only it held, and inodes of the whole filesystem.
   */
  readonly bytes: number;
  readonly inodes: number;
  /**
   * The owners of its files are those of a user namespace: containerd has changed them one by one, in it or
   * in what it is made from.
   */
  readonly remapped?: boolean | undefined;
  /**
   * The block image that the device is like, byte by byte: what a registry had of a layer that was not
   * unpacked here.
   */
  readonly image?: string | undefined;
  /** Of the call that made it, where a relay passed that on; a daemon knows by it what the one before did. */
  readonly call?: string | undefined;
}

/**
 * A device whose snapshot is gone for containerd, while a process still uses its files: it is removed after
 * its last user.
 */
export const RETIRED_LABEL = 'containerd:retired';

const START = 'containerd:{';
const PREFIX_LENGTH = START.length - 1;
/**
 * The label is written whenever its device is; containerd itself allows 4096 bytes a label, and uses a dozen.
 */
const MAX_LABEL_BYTES = 256 * 1024;

const nanoseconds = z
  .string()
  .regex(/^\d{1,19}$/)
  .transform(BigInt);
const stored = z.strictObject({
  snapshotter: z.string().optional(),
  key: z.string(),
  parent: z.string(),
  kind: z.enum(SNAPSHOT_KINDS),
  createdAt: nanoseconds,
  updatedAt: nanoseconds,
  labels: z.record(z.string(), z.string()),
  bytes: z.number().int().nonnegative(),
  inodes: z.number().int().nonnegative(),
  remapped: z.boolean().optional(),
  image: z.string().optional(),
  call: z.string().optional(),
});

/** @throws ThinError too-large */
export function packSnapshotRecord(record: SnapshotRecord): string {
  const { createdAt, updatedAt } = record;
  const label = `containerd:${JSON.stringify({ ...record, createdAt: String(createdAt), updatedAt: String(updatedAt) })}`;
  if (Buffer.byteLength(label) > MAX_LABEL_BYTES)
    throw new ThinError(
      'too-large',
      `the labels of snapshot ${shortKey(record.key)} take more than ${MAX_LABEL_BYTES / 1024} KiB; give it fewer`,
    );
  return label;
}

/** Undefined for a device that is no snapshot of containerd's. @throws ThinError damaged, naming `device` */
export function unpackSnapshotRecord(label: string, device: string): SnapshotRecord | undefined {
  if (!label.startsWith(START)) return undefined;
  try {
    return stored.parse(JSON.parse(label.slice(PREFIX_LENGTH)));
  } catch (error) {
    throw new ThinError(
      'damaged',
      `the snapshot record of device ${device} cannot be read; run thinfuse check, and remove the device if it is not needed`,
      { cause: error, details: { device } },
    );
  }
}

/** As messages show a key. */
export function shortKey(key: string): string {
  return JSON.stringify(key.length > 120 ? `${key.slice(0, 120)}…` : key);
}

import * as z from 'zod';
import { bytes, content, count, device, exactly, kind, lacks, oneOrMany, time } from './shapes.js';

/** `ls`; with -q the names, with -o the columns that were asked for, by their names in capitals. */
export const listed = z.union([
  z.array(device),
  z.array(z.string()),
  z.array(
    z.record(
      z.string().regex(/^[A-Z_]+$/),
      z.union([z.string(), z.number(), z.record(z.string(), z.string())]).nullable(),
    ),
  ),
]);

export const mounted = oneOrMany(
  z.object({ name: z.string(), path: z.string(), loop: z.string().optional(), lacks }),
);
export const activated = oneOrMany(z.object({ name: z.string(), path: z.string(), lacks }));
export const deactivated = oneOrMany(z.object({ name: z.string(), deferred: z.boolean() }));
export const unmounted = oneOrMany(z.object({ name: z.string() }));
export const trimmed = z.array(z.object({ name: z.string(), trimmed: bytes, freed: bytes }));

/** With -n, what would come back: of each that goes alone, and of all together, which is `atLeast`, too. */
export const removed = z.union([
  z.object({ removed: z.array(z.string()), deferred: z.array(z.string()) }),
  z.object({
    devices: z.array(z.object({ name: z.string(), exclusive: bytes })),
    together: bytes,
    atLeast: bytes,
  }),
]);
export const settled = z.object({ pendingDeletes: z.literal(0) });

/** A path that is no UTF-8 has U+FFFD in the place of what is not. */
export const changes = z.array(z.object({ kind: z.enum(['A', 'C', 'D']), path: z.string() }));

export const imported = z.object({ name: z.string(), format: z.enum(['raw', 'qcow2']), size: bytes });
export const exported = z.union([
  z.object({ name: z.string(), format: z.enum(['raw', 'qcow2', 'tar']), output: z.string(), lacks }),
  // dm-thin
  z.object({
    output: z.string(),
    devices: z.array(
      z.object({
        id: count,
        name: z.string(),
        kind,
        origin: z.string().nullable(),
        size: bytes,
        sectors: count,
        filesystem: z.string(),
        content: content.optional(),
      }),
    ),
    lacks,
  }),
  // lvm
  z.object({
    output: z.string(),
    group: z.string(),
    volumes: z.array(z.object({ id: count, name: z.string(), volume: z.string(), size: bytes })),
    lacks,
  }),
]);

export const received = z.object({
  name: z.string(),
  size: bytes,
  written: bytes,
  base: z.string().nullable(),
});

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
export const pushed = z.object({
  name: z.string(),
  url: z.string(),
  digest,
  parent: z.string().nullable(),
  read: bytes,
  sent: bytes,
  /** Of 64 KiB. */
  blocks: count,
  lacks: lacks.optional(),
  /** With --oci: the ordinary image, and the block images beside it, from the lowest layer on. */
  subject: digest.optional(),
  layers: z.array(z.object({ chain: digest, image: z.string(), inodes: count })).optional(),
});
export const pulled = z.object({
  name: z.string(),
  size: bytes,
  fetched: bytes,
  written: bytes,
  remote: bytes,
  digest,
});
export const hydrated = z.object({ name: z.string(), remote: bytes });

export const remoteImages = z.array(
  z.object({
    tag: z.string(),
    createdAt: time,
    /** Of 64 KiB. */
    blocks: count,
    stored: bytes,
    alone: bytes,
    encrypted: z.boolean(),
    digest,
    /** Null, as the next two: it is encrypted, and no key was given. */
    name: z.string().nullable(),
    kind: z.string().nullable(),
    size: bytes.nullable(),
  }),
);
/** One for each URL. */
export const remoteRemoved = z.object({ removed: z.string() });
export const remoteChecked = z.object({
  ok: z.boolean(),
  images: count,
  packs: count,
  blocks: count,
  findings: z.array(z.object({ path: z.string(), problem: z.string() })),
});
export const collected = z.object({ kept: count, waiting: count, removed: count, freed: bytes });

export const legacyDevices = z.array(
  z.object({
    id: count.optional(),
    name: z.string(),
    kind: z.string(),
    filesystem: z.string().nullable().optional(),
    size: bytes.nullable().optional(),
    damaged: z.boolean(),
    state: z.enum(['sound', 'damaged', 'unsupported']),
    names: z.array(z.string()).optional(),
    hash: z.string().nullable().optional(),
    parent: z.string().nullable().optional(),
    group: z.string().nullable().optional(),
    pool: z.string().optional(),
    origin: z.string().nullable().optional(),
    externalOrigin: z.string().nullable().optional(),
    problem: z.string().nullable().optional(),
    mapped: bytes.nullable().optional(),
    highestMapped: bytes.nullable().optional(),
    transactionId: exactly.nullable().optional(),
    creationTime: count.nullable().optional(),
    snapTime: count.nullable().optional(),
  }),
);
export const legacyImported = z.array(
  z.object({
    id: count.nullable().optional(),
    name: z.string(),
    origin: z.string().nullable(),
    size: bytes,
    kind,
    filesystem: z.string().nullable(),
    written: bytes,
  }),
);
const range = z.object({ begin: bytes, end: bytes });
export const legacyExported = z.object({
  id: count.nullable().optional(),
  name: z.string(),
  format: z.enum(['raw', 'tar']),
  output: z.string(),
  size: bytes,
  lost: z.array(z.string()),
  lostBytes: z.array(range.extend({ problem: z.string() })),
  lostFiles: z
    .array(z.object({ path: z.string(), ranges: z.array(range) }))
    .nullable()
    .optional(),
  lacks,
});
export const legacyMounted = z.object({ device: z.string(), path: z.string(), pid: count, lacks });

import * as z from 'zod';
import { THIN_ERROR_CODES } from '../errors/thin-error.js';

/** What forms of `--json` are made of. */
export const bytes = z.int().min(0).meta({ id: 'bytes', description: 'bytes' });
export const count = z
  .int()
  .min(0)
  .meta({ id: 'count', description: 'a number of something, or a number of its own' });
export const time = z.iso.datetime().meta({ id: 'time', description: 'ISO 8601, in UTC' });
/** What was shown is incomplete, and why; the exit code is 10 then. */
export const lacks = z.string().nullable();
/** Of the kernel's metadata, which counts in 64 bits: a string where a number would not be exact. */
export const exactly = z.union([count, z.string().regex(/^\d+$/)]);

export const pool = z.enum(['leveldb', 'direct']);
export const mode = z.enum(['rw', 'ro', 'out_of_data_space', 'fail']).or(z.string());
export const kind = z.enum(['base', 'image', 'container', 'snapshot']);
export const content = z.enum(['rootfs', 'plain', 'raw']);

/** A failure, on standard error. */
export const failure = z.object({
  error: z.object({
    code: z.enum(THIN_ERROR_CODES as readonly [string, ...string[]]),
    /** For people. */
    message: z.string(),
    /** What is involved; `suggestion`: the name that may have been meant. */
    details: z.record(z.string(), z.union([z.string(), z.number()])),
  }),
});

const automount = z.object({
  /** Empty: on mnt/NAME in the root. */
  target: z.string(),
  readOnly: z.boolean(),
  options: z.string(),
  allowOther: z.boolean(),
});

export const device = z
  .object({
    name: z.string(),
    id: count,
    kind,
    /** Null: it has none, or that was removed. */
    origin: z.string().nullable(),
    originId: count.nullable(),
    size: bytes,
    quota: bytes.nullable(),
    limit: bytes.nullable(),
    mapped: bytes,
    exclusive: bytes,
    shared: bytes,
    remote: bytes,
    highestMapped: bytes,
    transactionId: count,
    creationTime: count,
    snapTime: count,
    createdAt: time,
    filesystem: z.enum(['xfs', 'ext4']).nullable(),
    filesystemSize: bytes,
    initialized: z.boolean(),
    deleted: z.boolean(),
    content,
    automount: automount.nullable(),
    labels: z.record(z.string(), z.string()),
    /** What another program keeps with it. */
    label: z.string(),
    unfinished: z.boolean(),
    active: z.boolean(),
    path: z.string().nullable(),
    loop: z.string().nullable(),
    mountPoint: z.string().nullable(),
  })
  .meta({ id: 'device' });
export type DeviceOutput = z.infer<typeof device>;

/** A device below its origin; an origin that was removed has its name and number only. */
const lineageNode: z.ZodObject = z
  .object({
    ...device.partial().shape,
    name: z.string(),
    id: count,
    kind: z.enum([...kind.options, 'removed']),
    get children(): z.ZodArray<z.ZodObject> {
      return z.array(lineageNode);
    },
  })
  .meta({ id: 'lineageNode' });
export const lineage = z.array(lineageNode);

const blockDevice: z.ZodObject = z
  .object({
    name: z.string(),
    'maj:min': z.string().nullable(),
    rm: z.boolean(),
    size: bytes,
    ro: z.boolean(),
    type: z.enum(['leveldb', 'file', 'disk', 'dm']),
    mountpoints: z.array(z.string().nullable()),
    get children(): z.ZodOptional<z.ZodArray<z.ZodObject>> {
      return z.array(blockDevice).optional();
    },
  })
  .meta({ id: 'blockDevice' });
/** As `lsblk --json --bytes` has it. */
export const blockDevices = z.object({ blockdevices: z.array(blockDevice) });

export const finding = z
  .object({ path: z.string(), problem: z.string(), fatal: z.boolean(), repairable: z.boolean() })
  .meta({ id: 'finding' });

/** A list for several names or --all, one of them for one name. */
export function oneOrMany<T extends z.ZodType>(one: T): z.ZodUnion<[T, z.ZodArray<T>]> {
  return z.union([one, z.array(one)]);
}

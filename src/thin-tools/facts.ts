import * as z from 'zod';
import { CONTENTS, NO_LABELS } from '../format/device-properties.js';
import { DEVICE_KINDS, FILESYSTEMS, type DeviceRecord } from '../format/device-record.js';
import type { Superblock } from '../format/superblock.js';

/**
 * Facts of a pool without a place in thin_dump's XML. They stand in comments, which thin_restore ignores:
 *
 *   <!-- thinfuse {"name":"web",...} -->     as the first child of the superblock, and of each device
 */
const poolFacts = z.object({
  uuid: z.string(),
  kind: z.enum(['leveldb', 'direct']),
  nodes: z.number().int().min(1),
  lastDeviceId: z.number().int().min(0),
  baseUuid: z.string(),
  lastTransaction: z.object({ id: z.number().int(), device: z.number().int(), name: z.string() }).nullable(),
  /** The pool's options record; the code that writes it checks it. */
  options: z.unknown(),
});
export type PoolFacts = z.infer<typeof poolFacts>;

const deviceFacts = z.object({
  name: z.string(),
  kind: z.enum(DEVICE_KINDS),
  origin: z.number().int().min(0),
  originName: z.string(),
  size: z.number().int().min(1),
  createdAt: z.number().int().min(0),
  filesystem: z.enum(FILESYSTEMS),
  filesystemSize: z.number().int().min(0),
  initialized: z.boolean(),
  deleted: z.boolean(),
  family: z.number().int().min(1),
  label: z.string().default(''),
  quota: z.number().int().min(0).default(0),
  limit: z.number().int().min(0).default(0),
  content: z.enum(CONTENTS).default('rootfs'),
  automount: z
    .object({ target: z.string(), readOnly: z.boolean(), options: z.string(), allowOther: z.boolean() })
    .optional(),
  labels: z.record(z.string(), z.string()).default(NO_LABELS),
});
export type DeviceFacts = z.infer<typeof deviceFacts>;

const MARK = ' thinfuse ';

export function poolFactsOf(superblock: Superblock, options: unknown): PoolFacts {
  const { uuid, kind, nodes, lastDeviceId, baseUuid, lastTransaction } = superblock;
  return { uuid, kind, nodes, lastDeviceId, baseUuid, lastTransaction: lastTransaction ?? null, options };
}

export function deviceFactsOf(record: DeviceRecord): DeviceFacts {
  return deviceFacts.parse(record);
}

/** No comment may hold two hyphens in a row. */
export function factsComment(facts: PoolFacts | DeviceFacts): string {
  return `<!--${MARK}${JSON.stringify(facts).replaceAll('--', '-\\u002d')} -->`;
}

/** Undefined: a comment of another program. @throws SyntaxError, ZodError: one of ours that is spoilt */
export function parsePoolFacts(comment: string): PoolFacts | undefined {
  return comment.startsWith(MARK) ? poolFacts.parse(JSON.parse(comment.slice(MARK.length))) : undefined;
}

export function parseDeviceFacts(comment: string): DeviceFacts | undefined {
  return comment.startsWith(MARK) ? deviceFacts.parse(JSON.parse(comment.slice(MARK.length))) : undefined;
}

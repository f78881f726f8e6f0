import { createHash } from 'node:crypto';
import * as z from 'zod';
import { ThinError } from '../errors/thin-error.js';
import { CONTENTS } from '../format/device-properties.js';

/** docs/send-stream.md says it as a grammar. */
export const MAGIC = Buffer.from('thinsend');
export const STREAM_VERSION = 1;
export const MAGIC_BYTES = MAGIC.length + 4;

export const FRAME = { header: 1, resume: 2, data: 3, zero: 4, end: 5 } as const;
export type FrameKind = (typeof FRAME)[keyof typeof FRAME];

/** kind:u8 length:u32 */
export const FRAME_HEAD = 5;
export const SUM_BYTES = 16;
/** Of a data frame, behind its offset; frames end where the device's offset is a multiple of it. */
export const MAX_DATA = 2 ** 20;
const OFFSET_BYTES = 8;

/** Bytes of a frame's body, by its kind. */
export const BODY_LIMITS: Readonly<Record<FrameKind, { readonly least: number; readonly most: number }>> = {
  [FRAME.header]: { least: 2, most: 2 ** 19 },
  [FRAME.resume]: { least: OFFSET_BYTES + SUM_BYTES, most: OFFSET_BYTES + SUM_BYTES },
  [FRAME.data]: { least: OFFSET_BYTES + 1, most: OFFSET_BYTES + MAX_DATA },
  [FRAME.zero]: { least: 2 * OFFSET_BYTES, most: 2 * OFFSET_BYTES },
  [FRAME.end]: { least: 0, most: 0 },
};

const safe = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

const streamHeader = z.strictObject({
  /** What the device is called where it comes from. */
  name: z.string(),
  /** Bytes. */
  size: safe.min(1),
  kind: z.enum(['image', 'snapshot']),
  filesystem: z.enum(['xfs', 'ext4']),
  /** Left out: `rootfs`. */
  content: z.enum(CONTENTS).optional(),
  /** Of the user's own; left out: none. */
  labels: z.record(z.string(), z.string()).optional(),
  /** What the changes are changes of; null: of a device that is all zeroes. */
  base: z.strictObject({ name: z.string(), digest: z.string().regex(/^[0-9a-f]{64}$/) }).nullable(),
});
export type StreamHeader = z.infer<typeof streamHeader>;

/** How far a stream has come: everything before `offset` is told, and `sum` is that of the last frame. */
export interface StreamPoint {
  /** Bytes. */
  readonly offset: number;
  /** 16 bytes in hex. */
  readonly sum: string;
}

export function packHeader(header: StreamHeader): Buffer {
  // For one device at one moment this is always the same text.
  const { name, size, kind, filesystem, content = 'rootfs', labels = {}, base } = header;
  const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  const fields = {
    name,
    size,
    kind,
    filesystem,
    ...(content === 'rootfs' ? {} : { content }),
    ...(pairs.length === 0 ? {} : { labels: Object.fromEntries(pairs) }),
    base: base === null ? null : { name: base.name, digest: base.digest },
  };
  return Buffer.from(JSON.stringify(fields));
}

/** Undefined where it is none. */
export function unpackHeader(body: Buffer): StreamHeader | undefined {
  try {
    return streamHeader.parse(JSON.parse(body.toString('utf8')));
  } catch {
    return undefined;
  }
}

/** The sum of a frame, which covers all frames before it. */
export function chainSum(before: string, frame: readonly Uint8Array[]): string {
  const hash = createHash('sha256').update(Buffer.from(before, 'hex'));
  for (const part of frame) hash.update(part);
  return hash.digest('hex').slice(0, 2 * SUM_BYTES);
}

export const FIRST_SUM = '00'.repeat(SUM_BYTES);

export function packOffset(value: number): Buffer {
  const bytes = Buffer.alloc(OFFSET_BYTES);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** Infinity where no device is as large. */
export function unpackOffset(body: Buffer, at = 0): number {
  const value = body.readBigUInt64LE(at);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Infinity;
}

/** As people hand it from `receive` to `send`. */
export function formatPoint({ offset, sum }: StreamPoint): string {
  return `${offset}-${sum}`;
}

/** @throws ThinError invalid-argument */
export function parsePoint(text: string): StreamPoint {
  const [, offset, sum] = /^(\d{1,16})-([0-9a-f]{32})$/.exec(text) ?? [];
  if (offset === undefined || sum === undefined || !Number.isSafeInteger(Number(offset)))
    throw new ThinError(
      'invalid-argument',
      `${JSON.stringify(text)} is not a place in a stream; give the one that thinfuse receive printed`,
    );
  return { offset: Number(offset), sum };
}

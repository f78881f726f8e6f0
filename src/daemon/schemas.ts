import * as z from 'zod';
import { MAX_CACHE_SIZE } from '../config/limits.js';
import { COMPRESSIONS } from '../config/pool-options.js';
import { ThinError } from '../errors/thin-error.js';
import { CONTENTS } from '../format/device-properties.js';
import { CHECK_DEPTHS } from '../metadata/check.js';
import { DELTA_FORMATS } from '../thin-tools/delta-lines.js';
import { DUMP_FORMATS } from '../thin-tools/dump-words.js';
import type { OperationName, Operations, TextOperationName, TextOperations } from '../api/operations.js';

const empty = z.strictObject({});
const name = z.string();
const named = z.strictObject({ name });
const bytes = z.number().int().positive();
const count = z.number().int().min(0);
/** As `format/maker.ts` has it. */
const maker = z.string().regex(/^\d+-\d+-[0-9a-f-]+$/);
const made = z.strictObject({ name, maker: maker.optional() });
const content = z.enum(CONTENTS);
/** No blank: mount(8) takes them as one word. */
/** How a store is reached, and the note there. */
const reached = {
  keyFile: z.string().max(4096),
  note: z.string().max(64),
  settings: z.record(z.string().max(64), z.string().max(4096)),
};
const mountOptions = z
  .string()
  .max(1024)
  .regex(/^[\x21-\x7e]*$/);
const mode = z.number().int().min(0).max(0o7777);
const userId = z
  .number()
  .int()
  .min(0)
  .max(2 ** 32 - 2);
const viewed = z.strictObject({ name, holder: z.number().int().positive() });

type Schemas = { readonly [K in OperationName]: z.ZodType<Operations[K]['input']> };

/** Shapes only; what a name or a size may be is checked where it is used, with a better message. */
export const schemas: Schemas = {
  status: empty,
  'pool.info': empty,
  'pool.check': z.strictObject({
    depth: z.enum(CHECK_DEPTHS).optional(),
    clearNeedsCheck: z.boolean().optional(),
    autoRepair: z.boolean().optional(),
  }),
  'metadata.reserve': empty,
  'metadata.release': z.strictObject({ snapshot: z.number().int().positive() }),
  'metadata.reserved': empty,
  'pool.setTransactionId': z.strictObject({ from: count, to: count }),
  'pool.set': z.strictObject({
    autoextendThreshold: z.number().int().min(50).max(100).optional(),
    autoextendPercent: z.number().int().min(1).max(100).optional(),
    minFreeSpace: z.number().int().min(0).max(99).optional(),
    errorIfNoSpace: z.boolean().optional(),
    noSpaceTimeout: count.optional(),
    lowWater: count.optional(),
    metadataLowWater: count.optional(),
    originTimeout: z.number().int().min(1).max(3600).optional(),
    compression: z.enum(COMPRESSIONS).optional(),
    cacheSize: count.max(MAX_CACHE_SIZE).optional(),
  }),
  'pool.extend': z.strictObject({
    data: z.union([bytes, z.literal('max')]).optional(),
    metadata: bytes.optional(),
  }),
  'pool.commit': empty,
  'pool.settle': empty,
  'device.list': empty,
  'device.get': named,
  'device.exclusive': z.strictObject({ names: z.array(name).min(1) }),
  'device.create': z.strictObject({
    name,
    origin: name.optional(),
    kind: z.enum(['image', 'container', 'snapshot']),
    size: bytes.optional(),
    quota: bytes.optional(),
    limit: bytes.optional(),
    content: content.optional(),
    maker: maker.optional(),
  }),
  'device.clone': z.strictObject({ origin: name, names: z.array(name).min(1).max(1000) }),
  'device.createThin': z.strictObject({
    name,
    kind: z.enum(['image', 'container', 'snapshot']),
    size: bytes,
    filesystem: z.enum(['xfs', 'ext4']),
    label: z.string().max(65536).optional(),
    quota: bytes.optional(),
    content: content.optional(),
    maker: maker.optional(),
  }),
  'device.seal': made,
  'device.finish': z.strictObject({ name, maker }),
  'device.rename': z.strictObject({ name, to: name, maker: maker.optional(), keep: z.boolean().optional() }),
  'device.anchor': z.strictObject({ name, to: name, label: z.string().max(4096), maker }),
  'device.attach': z.strictObject({
    name,
    maker,
    image: z.strictObject({
      url: z.string().max(4096),
      digest: z.string().regex(/^[0-9a-f]{64}$/),
      ...reached,
    }),
  }),
  'device.reads': z.strictObject({ name, maker: maker.optional() }),
  'device.hydrate': z.strictObject({ name, wait: z.boolean().optional() }),
  'remote.find': z.strictObject({ reference: z.string().max(4096), ...reached }),
  'remote.forget': z.strictObject({ note: z.string().max(64) }),
  'remote.images': empty,
  'device.quota': z.strictObject({ name, quota: count }),
  'device.limit': z.strictObject({ name, limit: count }),
  'device.automount': z.strictObject({
    name,
    automount: z
      .strictObject({
        target: z.string().max(4096),
        readOnly: z.boolean(),
        options: mountOptions,
        allowOther: z.boolean(),
      })
      .nullable(),
  }),
  'device.labels': z.strictObject({
    name,
    labels: z.record(z.string().max(256), z.string().max(4096).nullable()),
    maker: maker.optional(),
  }),
  'device.rollback': z.strictObject({ name, to: name }),
  'device.grow': z.strictObject({ name, size: bytes }),
  'device.remove': z.strictObject({ name, force: z.boolean().optional() }),
  'base.format': empty,
  activate: made,
  deactivate: named,
  mount: z.strictObject({
    name,
    target: z.string().optional(),
    readOnly: z.boolean().optional(),
    options: mountOptions.optional(),
    permissions: z
      .strictObject({ mode: mode.optional(), uid: userId.optional(), gid: userId.optional() })
      .optional(),
    allowOther: z.boolean().optional(),
    maker: maker.optional(),
  }),
  umount: named,
  trim: named,
  'view.open': viewed.extend({ maker: maker.optional() }),
  'view.close': viewed,
  metrics: empty,
  'ui.open': z.strictObject({ listen: z.string().optional() }),
  doctor: z.strictObject({ fix: z.boolean().optional() }),
  restart: empty,
  stop: z.strictObject({ force: z.boolean().optional() }),
};

const snapshot = z.union([z.number().int().positive(), z.literal('newest')]).optional();

export const textSchemas: { readonly [K in TextOperationName]: z.ZodType<TextOperations[K]['input']> } = {
  'pool.scrub': empty,
  'device.runs': z.strictObject({ device: z.string() }),
  'metadata.dump': z.strictObject({
    format: z.enum(DUMP_FORMATS),
    device: z.string().optional(),
    skipMappings: z.boolean().optional(),
    repair: z.boolean().optional(),
    plain: z.boolean().optional(),
    snapshot,
  }),
  'metadata.delta': z.strictObject({
    left: z.string(),
    right: z.string(),
    format: z.enum(DELTA_FORMATS),
    changesOnly: z.boolean().optional(),
    snapshot,
  }),
  events: z.strictObject({ past: z.boolean().optional(), follow: z.boolean().optional() }),
  'metadata.rmap': z.strictObject({
    regions: z
      .array(z.strictObject({ begin: count, end: count }))
      .min(1)
      .max(1000),
    json: z.boolean().optional(),
    snapshot,
  }),
};

export function isTextOperationName(text: string): text is TextOperationName {
  return Object.hasOwn(textSchemas, text);
}

/** @throws as `parseInput` */
export function parseTextInput<K extends TextOperationName>(
  operation: K,
  input: unknown,
): TextOperations[K]['input'] {
  return validated(textSchemas[operation], operation, input);
}

export function isOperationName(text: string): text is OperationName {
  return Object.hasOwn(schemas, text);
}

/** @throws ThinError invalid-argument naming the operation and each field that is wrong. */
export function parseInput<K extends OperationName>(operation: K, input: unknown): Operations[K]['input'] {
  return validated(schemas[operation], operation, input);
}

function validated<T>(schema: z.ZodType<T>, operation: string, input: unknown): T {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) =>
    issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`,
  );
  throw new ThinError('invalid-argument', `the input of ${operation} is not valid: ${problems.join('; ')}`);
}

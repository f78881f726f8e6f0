import * as z from 'zod';
import { NEVER_EXTEND } from '../config/defaults.js';
import { COMPRESSIONS } from '../config/pool-options.js';
import { optionsKey } from '../format/keys.js';
import { seal } from '../format/seal.js';
import { storedOptions } from '../metadata/agreement.js';
import type { KvOperation, KvReader } from '../store/key-value.js';
import type { PoolOptions } from './info.js';

/**
 * options := a JSON object in UTF-8: the fields of `PoolOptions`, and `pool`, the uuid of the pool that they
 * are of
 */
const schema = z.object({
  filesystem: z.enum(['xfs', 'ext4']),
  mkfsArgs: z.array(z.string()),
  mountOptions: z.string(),
  baseSize: z.number().int().positive(),
  minFreeSpace: z.number().min(0).max(99),
  deferredRemoval: z.boolean(),
  deferredDeletion: z.boolean(),
  xfsNospaceMaxRetries: z.number().int().min(0),
  errorIfNoSpace: z.boolean(),
  noSpaceTimeout: z.number().min(0),
  // Older pools lack these two fields and never grow.
  autoextendThreshold: z.number().int().min(50).max(100).default(NEVER_EXTEND),
  autoextendPercent: z.number().int().min(1).max(100).default(20),
  lowWater: z.number().int().min(0).default(0),
  metadataLowWater: z.number().int().min(0).default(0),
  originTimeout: z.number().int().min(1).max(3600).default(60),
  // Older pools stay unpacked until their options ask for packing.
  compression: z.enum(COMPRESSIONS).default('off'),
  cacheSize: z.number().int().min(0).default(0),
}) satisfies z.ZodType<PoolOptions>;

/** @param pool its uuid */
export function packOptions(options: PoolOptions, pool: string): KvOperation {
  const text = JSON.stringify({ ...options, pool });
  return { type: 'put', key: optionsKey, value: seal('options', 0, Buffer.from(text)) };
}

/** Undefined: not the fields of `PoolOptions`. */
export function parseOptions(value: unknown): PoolOptions | undefined {
  return schema.safeParse(value).data;
}

/** @throws ThinError damaged */
export function readOptions(store: KvReader): PoolOptions {
  return storedOptions(store, (value) => schema.parse(value));
}

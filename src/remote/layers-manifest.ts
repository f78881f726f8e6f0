import * as z from 'zod';
import { createHash } from 'node:crypto';
import { ThinError } from '../errors/thin-error.js';
import { isDigest, type Digest } from './digest.js';
import { wrongVersion } from './pack.js';

/** Of the artifact that puts block images beside an ordinary image, and of its config. */
export const LAYERS_TYPE = 'application/vnd.thinfuse.layers.v1+json';
const VERSION = 1;

const named = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const imageLayer = z.strictObject({
  /** OCI image-spec config.md, "Layer ChainID": names what the layer and all below it come to. */
  chain: named,
  /** The block image of a filesystem with that. */
  image: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value)),
  /** In use in that filesystem. */
  inodes: z.number().int().nonnegative(),
});
export type ImageLayer = z.infer<typeof imageLayer>;

const layersManifest = z.strictObject({
  version: z.literal(VERSION),
  /** Digest of the ordinary image's manifest. */
  subject: named,
  /** The lowest first, one of each layer. */
  layers: z.array(imageLayer).min(1).max(1000),
});
export type LayersManifest = z.infer<typeof layersManifest>;

export function packLayers({ subject, layers }: Omit<LayersManifest, 'version'>): Uint8Array {
  return Buffer.from(JSON.stringify({ version: VERSION, subject, layers }));
}

/** @throws ThinError damaged, wrong-version, naming `path` */
export function unpackLayers(bytes: Uint8Array, path: string): LayersManifest {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new ThinError('damaged', `${path}: it is no list of layers`, { cause: error });
  }
  const version = z.object({ version: z.number() }).safeParse(value);
  if (version.success && version.data.version !== VERSION)
    throw wrongVersion(path, version.data.version, VERSION);
  const parsed = layersManifest.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ThinError('damaged', `${path}: it is no list of layers: ${z.prettifyError(parsed.error)}`);
}

/**
 * Chain ids of layers, from the lowest on, by the digests of their tars (`diff_ids` of an image's config).
 */
export function chainIds(diffIds: readonly string[]): string[] {
  const ids: string[] = [];
  for (const diffId of diffIds) {
    const below = ids.at(-1);
    ids.push(
      below === undefined
        ? diffId
        : `sha256:${createHash('sha256').update(`${below} ${diffId}`).digest('hex')}`,
    );
  }
  return ids;
}

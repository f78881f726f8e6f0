import * as z from 'zod';
import { ThinError } from '../errors/thin-error.js';
import { CONTENTS } from '../format/device-properties.js';
import { IMAGE_BLOCK } from '../format/remote-image.js';
import { CIPHER, type BlockSeal } from './block-seal.js';
import { digestOf, isDigest, type Digest } from './digest.js';
import { SEGMENT_BLOCKS } from './index-segment.js';
import { MAX_PACK, wrongVersion } from './pack.js';

export const MANIFEST_TYPE = 'application/vnd.thinfuse.image.v1+json';
const VERSION = 1;

const safe = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value));

/** What a device is, beside its blocks. Sizes in bytes. */
const remoteDevice = z.strictObject({
  name: z.string().min(1).max(255),
  size: safe.min(1),
  kind: z.enum(['image', 'snapshot']),
  filesystem: z.enum(['xfs', 'ext4']),
  /** Left out: `rootfs`. */
  content: z.enum(CONTENTS).optional(),
  label: z.string(),
  /** 0: none. */
  quota: safe,
  /** Names of what it descends from, its origin first. */
  lineage: z.array(z.string()),
});
export type RemoteDevice = z.infer<typeof remoteDevice>;

const blob = z.strictObject({ digest, size: safe });
/** Something in the store and its bytes. */
export type Blob = z.infer<typeof blob>;

const indexRef = z.strictObject({
  ...blob.shape,
  /** Number of the segment: its first block is that times SEGMENT_BLOCKS. */
  segment: safe,
  /** Blocks that are not all zeroes. */
  blocks: safe,
  /** Where its packs stand in the manifest's list. */
  packs: z.array(safe),
});
export type IndexRef = z.infer<typeof indexRef>;

const manifest = z.strictObject({
  mediaType: z.literal(MANIFEST_TYPE),
  version: z.literal(VERSION),
  /** 16 random bytes in hex. */
  salt: z.string().regex(/^[0-9a-f]{32}$/),
  /** Unix time, milliseconds. */
  createdAt: safe,
  blockSize: z.literal(IMAGE_BLOCK),
  segmentBlocks: z.literal(SEGMENT_BLOCKS),
  /** The image whose blocks it was made by changing; null: none. It need not be there any more. */
  parent: digest.nullable(),
  /** `check` tells a wrong key (block-seal.ts). */
  encryption: z.strictObject({ cipher: z.literal(CIPHER), check: z.string() }).nullable(),
  /** In base64, and sealed where there is encryption. */
  device: z.string(),
  /** Ascending by segment; one without blocks is not there. */
  indexes: z.array(indexRef),
  packs: z.array(blob),
  /** The pack that has copies of the blocks a start reads; null: none was recorded. */
  start: digest.nullable(),
});
export type Manifest = Omit<z.infer<typeof manifest>, 'device'> & { readonly device: RemoteDevice };

/** An image as it is in a store: what it says, and what it is called. */
export interface StoredImage {
  readonly digest: Digest;
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
}

export function packManifest(
  fields: Omit<Manifest, 'mediaType' | 'version' | 'blockSize' | 'segmentBlocks' | 'encryption'>,
  seal: BlockSeal,
): Uint8Array {
  const device = seal.seal(Buffer.from(JSON.stringify(remoteDevice.parse(fields.device))), 'device');
  const value = {
    mediaType: MANIFEST_TYPE,
    version: VERSION,
    salt: fields.salt,
    createdAt: fields.createdAt,
    blockSize: IMAGE_BLOCK,
    segmentBlocks: SEGMENT_BLOCKS,
    parent: fields.parent,
    encryption: seal.isEncrypting ? { cipher: CIPHER, check: seal.check } : null,
    device: Buffer.from(device).toString('base64'),
    indexes: fields.indexes,
    packs: fields.packs,
    start: fields.start,
  } satisfies z.infer<typeof manifest>;
  return Buffer.from(JSON.stringify(value));
}

/** The part of a manifest that is readable without the key: the blobs that it keeps alive, and its size. */
export type OpenManifest = Omit<Manifest, 'device'> & { readonly device: string };

/** @throws ThinError damaged, wrong-version, naming `path` */
export function unpackOpenManifest(bytes: Uint8Array, path: string): OpenManifest {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new ThinError('damaged', `${path}: it is not a manifest of an image`, { cause: error });
  }
  const version = z.object({ version: z.number() }).safeParse(value);
  if (version.success && version.data.version !== VERSION)
    throw wrongVersion(path, version.data.version, VERSION);
  const parsed = manifest.safeParse(value);
  if (!parsed.success)
    throw new ThinError(
      'damaged',
      `${path}: it is not a manifest of an image: ${z.prettifyError(parsed.error)}`,
    );
  requireAgreement(parsed.data, path);
  return parsed.data;
}

/** @throws ThinError as `unpackOpenManifest`, and permission where it needs another key */
export function unpackManifest(bytes: Uint8Array, seal: BlockSeal, path: string): Manifest {
  const open = unpackOpenManifest(bytes, path);
  requireKey(open, seal, path);
  const text = seal.open(Buffer.from(open.device, 'base64'), 'device', path);
  let device;
  try {
    device = remoteDevice.parse(JSON.parse(Buffer.from(text).toString('utf8')));
  } catch (error) {
    throw new ThinError('damaged', `${path}: it describes a device that is not possible`, { cause: error });
  }
  const last = open.indexes.at(-1)?.segment ?? -1;
  if (last * SEGMENT_BLOCKS * IMAGE_BLOCK >= device.size)
    throw new ThinError('damaged', `${path}: it has blocks behind the end of its device`);
  return { ...open, device };
}

export function storedImage(bytes: Uint8Array, seal: BlockSeal, path: string): StoredImage {
  return { digest: digestOf(bytes), bytes, manifest: unpackManifest(bytes, seal, path) };
}

function requireKey({ encryption }: OpenManifest, seal: BlockSeal, path: string): void {
  if ((encryption?.check ?? '') === seal.check) return;
  throw new ThinError(
    'permission',
    encryption === null
      ? `${path}: it is not encrypted, and a key was given; leave --key-file out`
      : `${path}: it is encrypted with ${seal.isEncrypting ? 'another key' : 'a key'}; name the key's file with --key-file`,
  );
}

function requireAgreement({ indexes, packs, start }: OpenManifest, path: string): void {
  const isWrong =
    indexes.some(({ segment }, at) => at > 0 && segment <= indexes[at - 1]!.segment) ||
    indexes.some(
      ({ blocks, packs: used }) => blocks > SEGMENT_BLOCKS || used.some((at) => at >= packs.length),
    ) ||
    packs.some(({ size }) => size > MAX_PACK) ||
    (start !== null && !packs.some((pack) => pack.digest === start));
  if (isWrong) throw new ThinError('damaged', `${path}: its indexes and packs do not agree`);
}

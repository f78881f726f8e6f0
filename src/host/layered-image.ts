import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, realpath, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import * as z from 'zod';
import { ThinError } from '../errors/thin-error.js';
import { compressionOf } from './image-source.js';
import { isBelow } from './mount-table.js';

/** A blob of an image: its content is at `file`, and `digest` is what it is held to when it is read. */
export interface Blob {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly file: string;
}

export interface Layer extends Blob {
  readonly gzipped: boolean;
}

/** An image as a container runtime knows it: a configuration and layers, lowest first. */
export interface LayeredImage {
  readonly config: Blob;
  readonly layers: readonly Layer[];
}

/** The name that `writeLayout` gives its one image. */
export const LAYOUT_TAG = 'image';

const OCI = 'application/vnd.oci.image';
const MAX_JSON_BYTES = 16 * 1024 * 1024;
const MAX_INDEX_DEPTH = 4;
/** Node's name of this machine's architecture, as the image specification (Go) has it. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const descriptorSchema = z.object({
  mediaType: z.string().default(''),
  digest: digestSchema,
  size: z.number().int().nonnegative(),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: z.object({ os: z.string(), architecture: z.string() }).optional(),
});
type Descriptor = z.infer<typeof descriptorSchema>;
const indexSchema = z.object({ manifests: z.array(descriptorSchema) });
const manifestSchema = z.object({ config: descriptorSchema, layers: z.array(descriptorSchema) });
const dockerManifestSchema = z.array(
  z.object({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()) }),
);
const configSchema = z.object({ rootfs: z.object({ diff_ids: z.array(digestSchema) }) });

/**
 * Reads an image from a folder that holds an OCI image layout (image-layout.md of the image specification) or
 * the content of a `docker save` archive. Nothing outside the folder is read, whatever links it holds.
 * Errors: damaged (not such a folder, or a part is missing), invalid-argument (several images, or none for
 * this machine), unsupported.
 */
export async function readLayeredImage(folder: string): Promise<LayeredImage> {
  const root = await realpath(folder);
  const index = await readJson(root, 'index.json', indexSchema);
  if (index !== undefined) return readOci(root, index.manifests, 0);
  const manifest = await readJson(root, 'manifest.json', dockerManifestSchema);
  if (manifest !== undefined) return readDockerArchive(root, manifest);
  throw new ThinError(
    'damaged',
    `${folder} has neither an index.json nor a manifest.json, so it is not an image; give an OCI layout or what docker save wrote`,
    {
      details: { path: folder },
    },
  );
}

/**
 * Makes an OCI image layout of one image in an empty folder, with links in place of blobs; its tag is
 * LAYOUT_TAG. Media types are OCI's own, since umoci reads no others.
 */
export async function writeLayout(folder: string, image: LayeredImage): Promise<void> {
  const blobs = path.join(folder, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  for (const blob of new Map([image.config, ...image.layers].map((each) => [each.digest, each])).values())
    await symlink(blob.file, path.join(blobs, blob.digest.slice('sha256:'.length)));
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: { mediaType: `${OCI}.config.v1+json`, digest: image.config.digest, size: image.config.size },
    layers: image.layers.map(({ digest, size, gzipped }) => ({
      mediaType: `${OCI}.layer.v1.tar${gzipped ? '+gzip' : ''}`,
      digest,
      size,
    })),
  });
  const digest = createHash('sha256').update(manifest).digest('hex');
  await writeFile(path.join(blobs, digest), manifest);
  const annotations = { 'org.opencontainers.image.ref.name': LAYOUT_TAG };
  const entry = {
    mediaType: `${OCI}.manifest.v1+json`,
    digest: `sha256:${digest}`,
    size: Buffer.byteLength(manifest),
    annotations,
  };
  await writeFile(path.join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  await writeFile(path.join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}

/** The image whose one layer is this tar; what it needs beside goes into `folder`. */
export async function imageOfTar(tar: string, gzipped: boolean, folder: string): Promise<LayeredImage> {
  const digest = await digestOf(tar);
  const content = gzipped ? await digestOf(tar, createGunzip()) : digest;
  const config = path.join(folder, 'config.json');
  const text = JSON.stringify({
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [content] },
  });
  await writeFile(config, text);
  return {
    config: { digest: await digestOf(config), size: Buffer.byteLength(text), file: config },
    layers: [{ digest, size: (await stat(tar)).size, file: tar, gzipped }],
  };
}

async function readOci(root: string, manifests: readonly Descriptor[], depth: number): Promise<LayeredImage> {
  const chosen = chooseManifest(root, manifests);
  const name = blobPath(chosen.digest);
  const inner = await readJson(root, name, z.union([indexSchema, manifestSchema]));
  if (inner === undefined) throw missingPart(root, name);
  if ('manifests' in inner) {
    if (depth >= MAX_INDEX_DEPTH)
      throw new ThinError('damaged', `${root} has an index of indexes without an end; get the image again`, {
        details: { path: root },
      });
    return readOci(root, inner.manifests, depth + 1);
  }
  const layers: Layer[] = [];
  for (const layer of inner.layers) layers.push(await asLayer(await ociBlob(root, layer)));
  return { config: await ociBlob(root, inner.config), layers };
}

function chooseManifest(root: string, manifests: readonly Descriptor[]): Descriptor {
  const architecture = ARCHITECTURES[process.arch] ?? process.arch;
  const fitting = manifests.filter(
    ({ platform }) =>
      platform === undefined || (platform.os === 'linux' && platform.architecture === architecture),
  );
  const [chosen, ...others] = new Map(fitting.map((each) => [each.digest, each])).values();
  if (chosen === undefined) {
    const offered = manifests.map(
      ({ platform }) => `${platform?.os ?? '?'}/${platform?.architecture ?? '?'}`,
    );
    throw new ThinError(
      'invalid-argument',
      `${root} has no image for linux/${architecture}, only for: ${offered.join(', ') || 'nothing'}; get the one for this machine`,
      { details: { path: root } },
    );
  }
  if (others.length > 0)
    throw severalImages(
      root,
      fitting.map(
        (each) => each.annotations?.['org.opencontainers.image.ref.name'] ?? each.digest.slice(0, 19),
      ),
    );
  return chosen;
}

async function readDockerArchive(
  root: string,
  images: z.infer<typeof dockerManifestSchema>,
): Promise<LayeredImage> {
  const [image, ...others] = images;
  if (image === undefined)
    throw new ThinError('damaged', `${root} names no image in its manifest.json; save it again`, {
      details: { path: root },
    });
  if (others.length > 0)
    throw severalImages(
      root,
      images.map((each) => each.RepoTags?.[0] ?? each.Config.slice(0, 12)),
    );
  const config = await readJson(root, image.Config, configSchema);
  if (config === undefined) throw missingPart(root, image.Config);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== image.Layers.length)
    throw new ThinError(
      'damaged',
      `${root} has ${image.Layers.length} layers where its configuration names ${diffIds.length}; save it again`,
      { details: { path: root } },
    );
  const configFile = await inside(root, image.Config);
  const layers: Layer[] = [];
  for (const [i, name] of image.Layers.entries()) {
    const file = await inside(root, name);
    // The configuration names layers by their uncompressed content, so only a compressed one has to be read
    // for its digest.
    const gzipped = (await compressionOf(file)).length > 0;
    const digest = gzipped ? await digestOf(file) : (diffIds[i] ?? '');
    layers.push(await asLayer({ digest, size: (await stat(file)).size, file }));
  }
  return {
    config: { digest: await digestOf(configFile), size: (await stat(configFile)).size, file: configFile },
    layers,
  };
}

async function asLayer(blob: Blob): Promise<Layer> {
  const [compression] = await compressionOf(blob.file);
  if (compression === undefined || compression === '--gzip')
    return { ...blob, gzipped: compression !== undefined };
  throw new ThinError(
    'unsupported',
    `layer ${blob.digest} is compressed with ${compression.slice(2)}; save the image with gzip (skopeo copy --dest-compress-format gzip)`,
    {
      details: { path: blob.file },
    },
  );
}

async function ociBlob(root: string, { digest, size }: Descriptor): Promise<Blob> {
  return { digest, size, file: await inside(root, blobPath(digest)) };
}

function blobPath(digest: string): string {
  return path.join('blobs', 'sha256', digest.slice('sha256:'.length));
}

/**
 * The real path of a part of the image. Errors: damaged, where it is missing or a link leads out of the
 * image's folder.
 */
async function inside(root: string, name: string): Promise<string> {
  const file = await realpath(path.join(root, name)).catch(() => undefined);
  if (file === undefined) throw missingPart(root, name);
  if (isBelow(file, root) && (await stat(file)).isFile()) return file;
  throw new ThinError(
    'damaged',
    `${name} in the image at ${root} leads elsewhere than to a file of the image; do not trust this image`,
    { details: { path: root, member: name } },
  );
}

/** Undefined where there is no such file. Errors: damaged (not JSON, or not of that shape). */
async function readJson<T>(root: string, name: string, schema: z.ZodType<T>): Promise<T | undefined> {
  if ((await realpath(path.join(root, name)).catch(() => undefined)) === undefined) return undefined;
  const file = await inside(root, name);
  try {
    if ((await stat(file)).size > MAX_JSON_BYTES) throw new Error('it is too large');
    return schema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error).replaceAll('\n', ' ') : String(error);
    throw new ThinError(
      'damaged',
      `${name} in the image at ${root} cannot be understood: ${why}; get the image again`,
      { cause: error, details: { path: root, member: name } },
    );
  }
}

async function digestOf(file: string, ...through: readonly Duplex[]): Promise<string> {
  const hash = createHash('sha256');
  await pipeline([createReadStream(file), ...through, hash]);
  return `sha256:${hash.digest('hex')}`;
}

function missingPart(root: string, name: string): ThinError {
  return new ThinError('damaged', `the image at ${root} lacks ${name}; get it again`, {
    details: { path: root, member: name },
  });
}

function severalImages(root: string, names: readonly string[]): ThinError {
  return new ThinError(
    'invalid-argument',
    `${root} holds several images (${names.join(', ')}); save the one that is wanted by itself`,
    { details: { path: root } },
  );
}

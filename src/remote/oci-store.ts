import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import { ThinError } from '../errors/thin-error.js';
import { rangeHeaders, requireDigest } from './blob-answer.js';
import { digestOf, isDigest, type Digest } from './digest.js';
import { MANIFEST_TYPE, type Blob } from './manifest.js';
import { OCI_MANIFEST, OciManifests } from './oci-manifests.js';
import type { RegistrySession } from './mirrored-session.js';
import type {
  BlobKind,
  BlobRef,
  Note,
  NoteKind,
  RangeRequest,
  RemoteStore,
  TagState,
} from './remote-store.js';
import { OWN_TAG_PREFIX } from './remote-url.js';

/** The media type of an image's config: tools that look at images ask for no other. */
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const NOTE_TYPE = 'application/vnd.thinfuse.note.v1+json';
export const LAYER_TYPES = {
  pack: 'application/vnd.thinfuse.pack.v1',
  index: 'application/vnd.thinfuse.index.v1',
  manifest: MANIFEST_TYPE,
} as const;

const ociManifest = z.object({
  artifactType: z.string().optional(),
  config: z.object({ mediaType: z.string(), digest: z.string() }).loose(),
});

/**
 * Images in a repository of an OCI registry. An image is an artifact: an OCI image manifest whose config is
 * the image's own manifest and whose layers are its indexes and packs, so that the registry's collection
 * keeps them and tools copy it whole. A note is an artifact under a tag of ours.
 */
export class OciStore implements RemoteStore {
  readonly url: string;
  readonly isCollected = false;
  /** Ordinary images in the same repository, and what refers to them. */
  readonly manifests: OciManifests;
  readonly #session: RegistrySession;
  /** OCI manifests of the images that were put. */
  readonly #put = new Map<Digest, Buffer>();

  constructor(url: string, session: RegistrySession) {
    this.url = url;
    this.#session = session;
    this.manifests = new OciManifests(url, session);
  }

  async read(
    kind: BlobKind,
    digest: Digest,
    range?: RangeRequest,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const { status, body } = await this.#session.ask({
      method: 'GET',
      path: `blobs/sha256:${digest}`,
      signal,
      expected: range === undefined ? [200, 404] : [200, 206, 404, 416],
      ...rangeHeaders(range),
      take: (answer) =>
        answer.status === 404 ||
        range === undefined ||
        answer.body.length === range.length ||
        (answer.status === 200 && answer.body.length >= range.offset + range.length),
    });
    if (status === 404) throw this.#notFound(`${kind} ${digest}`);
    if (range === undefined) requireDigest(body, this.url, kind, digest);
    // Some registries know no ranges and send all.
    return range !== undefined && status === 200 && body.length > range.length
      ? body.subarray(range.offset, range.offset + range.length)
      : body;
  }

  async size(_kind: BlobKind, digest: Digest): Promise<number | undefined> {
    const path = `blobs/sha256:${digest}`;
    const answer = await this.#session.ask({ method: 'HEAD', path, expected: [200, 404] });
    return answer.status === 404 ? undefined : Number(answer.headers['content-length']);
  }

  async put(kind: BlobKind, digest: Digest, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    if ((await this.size(kind, digest)) !== undefined) return;
    // An upload that failed cannot be gone on with for sure: each try begins one of its own.
    for (let tries = 3; ; tries--) {
      const begun = await this.#session.ask({
        method: 'POST',
        path: 'blobs/uploads/',
        signal,
        expected: [202],
      });
      const location = new URL(begun.headers.location ?? '', begun.url);
      location.searchParams.set('digest', `sha256:${digest}`);
      const { status } = await this.#session.ask({
        method: 'PUT',
        path: location,
        headers: { 'content-type': 'application/octet-stream' },
        body: bytes,
        signal,
        expected: [201, 204, 400, 404, 416],
      });
      if (status < 300) return;
      if (tries === 0) throw new ThinError('io', `${this.url} does not take a ${kind} (${status})`);
    }
  }

  async putImage(digest: Digest, bytes: Uint8Array, refs: readonly BlobRef[]): Promise<void> {
    await this.put('manifest', digest, bytes);
    const manifest = artifact(MANIFEST_TYPE, { digest, size: bytes.length }, refs);
    await this.#putManifest(`sha256:${digestOf(manifest)}`, manifest);
    this.#put.set(digest, manifest);
  }

  async imageOf(digest: Digest): Promise<Digest> {
    // Some registries fail where what they are asked for is no manifest of theirs.
    if ((await this.size('manifest', digest)) !== undefined) return digest;
    return (await this.#manifest(`sha256:${digest}`))?.config ?? digest;
  }

  async *tags(): AsyncGenerator<string> {
    for await (const tag of this.#allTags()) if (!tag.startsWith(OWN_TAG_PREFIX)) yield tag;
  }

  async tag(tag: string): Promise<TagState | undefined> {
    const found = await this.#manifest(tag);
    if (found === undefined) return undefined;
    if (found.type !== MANIFEST_TYPE)
      throw new ThinError(
        'invalid-argument',
        `${this.url}:${tag} is not an image of thinfuse (${found.type})`,
      );
    return { image: found.config, version: found.digest };
  }

  async listed(tag: string): Promise<TagState | undefined> {
    return this.tag(tag).catch((error: unknown) => {
      if (error instanceof ThinError && error.code === 'invalid-argument') return undefined;
      throw error;
    });
  }

  async moveTag(tag: string, image: Digest, from: TagState | undefined): Promise<boolean> {
    const manifest = this.#put.get(image);
    if (manifest === undefined) throw new ThinError('internal', `${image} was not put before its tag`);
    const now = await this.tag(tag);
    if (now?.version !== from?.version) return now?.image === image;
    await this.#putManifest(tag, manifest);
    return true;
  }

  async removeTag(tag: string): Promise<void> {
    const found = await this.tag(tag);
    if (found === undefined) throw this.#notFound(`tag ${tag}`);
    await this.#untag(tag);
    for await (const other of this.#allTags())
      if ((await this.listed(other))?.version === found.version) return;
    await this.#session.ask({
      method: 'DELETE',
      path: `manifests/${found.version}`,
      expected: [202, 404],
    });
  }

  async *notes(kind: NoteKind): AsyncGenerator<Note> {
    const prefix = `${OWN_TAG_PREFIX}${kind}-`;
    for await (const tag of this.#allTags())
      if (tag.startsWith(prefix)) yield { id: tag.slice(prefix.length), at: 0 };
  }

  async readNote(kind: NoteKind, id: string): Promise<Uint8Array | undefined> {
    const found = await this.#manifest(`${OWN_TAG_PREFIX}${kind}-${id}`);
    return found === undefined ? undefined : this.read('manifest', found.config);
  }

  async putNote(kind: NoteKind, id: string, bytes: Uint8Array, refs: readonly BlobRef[]): Promise<void> {
    const digest = digestOf(bytes);
    await this.put('manifest', digest, bytes);
    const note = artifact(NOTE_TYPE, { digest, size: bytes.length }, refs);
    await this.#putManifest(`${OWN_TAG_PREFIX}${kind}-${id}`, note);
  }

  async removeNote(kind: NoteKind, id: string): Promise<void> {
    const tag = `${OWN_TAG_PREFIX}${kind}-${id}`;
    if ((await this.#manifest(tag)) !== undefined) await this.#untag(tag);
  }

  // eslint-disable-next-line require-yield
  async *list(): AsyncGenerator<Blob> {
    throw await Promise.resolve(this.#unsupported());
  }

  remove(): Promise<void> {
    return Promise.reject(this.#unsupported());
  }

  warm(connections: number): void {
    this.#session.warm(connections);
  }

  close(): void {
    this.#session.close();
  }

  /**
   * Where a registry deletes by digest only, everything with the same digest would lose its tag: so the tag
   * gets something of its own first, and that is deleted.
   */
  async #untag(tag: string): Promise<void> {
    const bytes = Buffer.from(JSON.stringify({ removed: randomBytes(16).toString('hex') }));
    const blob = { digest: digestOf(bytes), size: bytes.length };
    await this.put('manifest', blob.digest, bytes);
    const nothing = artifact(NOTE_TYPE, blob, []);
    await this.#putManifest(tag, nothing);
    await this.#session.ask({
      method: 'DELETE',
      path: `manifests/sha256:${digestOf(nothing)}`,
      expected: [202, 404],
    });
  }

  async *#allTags(): AsyncGenerator<string> {
    let path: string | URL = 'tags/list?n=1000';
    for (;;) {
      const answer = await this.#session.ask({ method: 'GET', path, expected: [200, 404] });
      if (answer.status === 404) return;
      const { tags } = JSON.parse(answer.body.toString('utf8')) as { tags?: string[] | null };
      yield* tags ?? [];
      const next = /<([^>]+)>\s*;\s*rel="?next/.exec([answer.headers['link'] ?? ''].flat().join())?.[1];
      if (next === undefined) return;
      path = new URL(next, answer.url);
    }
  }

  async #manifest(
    reference: string,
  ): Promise<{ readonly type: string; readonly config: Digest; readonly digest: string } | undefined> {
    const answer = await this.#session.ask({
      method: 'GET',
      path: `manifests/${reference}`,
      headers: { accept: OCI_MANIFEST },
      expected: [200, 404],
    });
    if (answer.status === 404) return undefined;
    const parsed = ociManifest.safeParse(JSON.parse(answer.body.toString('utf8')));
    const config = parsed.success ? parsed.data.config.digest.replace('sha256:', '') : '';
    if (!parsed.success || !isDigest(config))
      throw new ThinError('invalid-argument', `${this.url}: ${reference} is not an image of thinfuse`);
    const { artifactType: type = parsed.data.config.mediaType } = parsed.data;
    return { type, config, digest: `sha256:${digestOf(answer.body)}` };
  }

  async #putManifest(reference: string, manifest: Buffer): Promise<void> {
    await this.#session.ask({
      method: 'PUT',
      path: `manifests/${reference}`,
      headers: { 'content-type': OCI_MANIFEST },
      body: manifest,
      expected: [201],
    });
  }

  #notFound(what: string): ThinError {
    return new ThinError('not-found', `${this.url}: there is no ${what}`);
  }

  #unsupported(): ThinError {
    return new ThinError(
      'unsupported',
      `${this.url} is a registry, which collects unused objects by itself; stop pushes, and run its own garbage collection`,
    );
  }
}

/** Always the same bytes of the same image. */
function artifact(type: string, config: Blob, refs: readonly BlobRef[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: type,
      config: {
        mediaType: type === MANIFEST_TYPE ? CONFIG_TYPE : type,
        digest: `sha256:${config.digest}`,
        size: config.size,
      },
      layers: refs.map(({ kind, digest, size }) => ({
        mediaType: LAYER_TYPES[kind],
        digest: `sha256:${digest}`,
        size,
      })),
    }),
  );
}

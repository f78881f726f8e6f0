import * as z from 'zod';
import { ThinError } from '../errors/thin-error.js';
import { digestOf } from './digest.js';
import type { RegistrySession } from './mirrored-session.js';

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const INDEXES = [OCI_INDEX, DOCKER_LIST];

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const descriptor = z.looseObject({
  mediaType: z.string(),
  digest,
  size: z.number().int().nonnegative(),
  artifactType: z.string().optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: z.looseObject({ os: z.string(), architecture: z.string() }).optional(),
});
/** As OCI describes what lies elsewhere (image-spec descriptor.md). */
export type Descriptor = z.infer<typeof descriptor>;

const index = z.looseObject({ manifests: z.array(descriptor) });
const manifest = z.looseObject({
  artifactType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor),
  subject: descriptor.optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type OciManifest = z.infer<typeof manifest>;
const imageConfig = z.looseObject({ rootfs: z.looseObject({ diff_ids: z.array(digest).min(1) }) });

/** What an artifact was made at, so that the newest of several counts. */
const CREATED = 'org.opencontainers.image.created';

/** An ordinary image of one platform. */
export interface OrdinaryImage {
  /** Of its manifest. */
  readonly descriptor: Descriptor;
  /** Digests of its layers' tars, from the lowest on. */
  readonly diffIds: readonly string[];
}

/**
 * Ordinary images in a repository, and artifacts that refer to them: over the referrers API, and in the index
 * under the fallback tag where the registry has no such API (OCI distribution-spec, "Listing Referrers").
 * Errors of all: as `RemoteStore`; damaged (what has another digest, or is not what it should be).
 */
export class OciManifests {
  readonly #url: string;
  readonly #session: RegistrySession;

  constructor(url: string, session: RegistrySession) {
    this.#url = url;
    this.#session = session;
  }

  /**
   * @param reference a tag or a digest
   * @param platform `os/architecture`, which of an index
   *
   * Errors: also not-found, unsupported (no such platform).
   */
  async ordinary(reference: string, platform: string): Promise<OrdinaryImage> {
    let found = await this.#get(reference, [...INDEXES, OCI_MANIFEST, DOCKER_MANIFEST]);
    if (found !== undefined && INDEXES.includes(found.mediaType)) {
      const { manifests } = this.#parsed(index, found.body, reference);
      const own = manifests.find(
        (each) => `${each.platform?.os ?? ''}/${each.platform?.architecture ?? ''}` === platform,
      );
      if (own === undefined)
        throw new ThinError('unsupported', `${this.#url}: ${reference} has no image for ${platform}`);
      found = await this.#get(own.digest, [OCI_MANIFEST, DOCKER_MANIFEST]);
    }
    if (found === undefined)
      throw new ThinError('not-found', `${this.#url}: there is no image ${reference}; push that first`);
    const { config } = this.#parsed(manifest, found.body, reference);
    const bytes = await this.#blob(config);
    const parsed = imageConfig.safeParse(jsonIn(bytes));
    if (!parsed.success)
      throw new ThinError(
        'invalid-argument',
        `${this.#url}: ${reference} is no ordinary image (${config.mediaType}), so no layers of it can be pushed`,
      );
    return {
      descriptor: {
        mediaType: found.mediaType,
        digest: `sha256:${digestOf(found.body)}`,
        size: found.body.length,
      },
      diffIds: parsed.data.rootfs.diff_ids,
    };
  }

  /** Digests of the manifests of the image under a tag, one for each platform. */
  async subjects(tag: string): Promise<readonly string[]> {
    const found = await this.#get(tag, [...INDEXES, OCI_MANIFEST, DOCKER_MANIFEST]);
    if (found === undefined) return [];
    if (!INDEXES.includes(found.mediaType)) return [`sha256:${digestOf(found.body)}`];
    return this.#parsed(index, found.body, tag).manifests.map(({ digest: platform }) => platform);
  }

  /** Artifacts of the type that refer to this manifest, the newest first. */
  async referrers(subject: string, type: string, signal?: AbortSignal): Promise<Descriptor[]> {
    // One of the two is in vain: together they take one round trip.
    const [listed, tagged] = await Promise.all([
      this.#listed(subject, type, signal),
      this.#index(fallbackTag(subject), signal),
    ]);
    const all = new Map([...(listed ?? []), ...tagged].map((each) => [each.digest, each]));
    return [...all.values()]
      .filter(({ artifactType }) => artifactType === type)
      .sort((x, y) => createdAt(y).localeCompare(createdAt(x)));
  }

  /** Undefined: it is not there. */
  async artifact(digest: string, signal?: AbortSignal): Promise<OciManifest | undefined> {
    const found = await this.#get(digest, [OCI_MANIFEST], signal);
    return found && this.#parsed(manifest, found.body, digest);
  }

  /**
   * What it consists of is there. Others of its type stay, because a reader may still need what they keep.
   */
  async putReferrer(
    parts: Pick<OciManifest, 'config' | 'layers'> & {
      readonly artifactType: string;
      readonly subject: Descriptor;
    },
  ): Promise<Descriptor> {
    const { artifactType, config, layers, subject } = parts;
    const annotations = { [CREATED]: new Date().toISOString() };
    const body = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        artifactType,
        config,
        layers,
        subject,
        annotations,
      }),
    );
    const digest = `sha256:${digestOf(body)}`;
    const answer = await this.#put(digest, OCI_MANIFEST, body);
    const own = { mediaType: OCI_MANIFEST, digest, size: body.length, artifactType, annotations };
    // Which registries answer that know what a subject is.
    if (answer['oci-subject'] === undefined) await this.#tagReferrer(subject.digest, own);
    return own;
  }

  async #tagReferrer(subject: string, own: Descriptor): Promise<void> {
    const tag = fallbackTag(subject);
    const others = (await this.#index(tag)).filter((other) => other.digest !== own.digest);
    const body = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [...others, own] };
    await this.#put(tag, OCI_INDEX, Buffer.from(JSON.stringify(body)));
  }

  async #listed(subject: string, type: string, signal?: AbortSignal): Promise<Descriptor[] | undefined> {
    const found: Descriptor[] = [];
    let path: string | URL = `referrers/${subject}?artifactType=${encodeURIComponent(type)}`;
    for (;;) {
      const answer = await this.#session.ask({
        method: 'GET',
        path,
        headers: { accept: OCI_INDEX },
        signal,
        // Of registries without such an API, in whatever words.
        expected: [200, 400, 404, 405, 501],
      });
      const page = index.safeParse(answer.status === 200 ? jsonIn(answer.body) : undefined);
      if (!page.success) return found.length === 0 ? undefined : found;
      found.push(...page.data.manifests);
      const next = /<([^>]+)>\s*;\s*rel="?next/.exec([answer.headers['link'] ?? ''].flat().join())?.[1];
      if (next === undefined) return found;
      path = new URL(next, answer.url);
    }
  }

  async #index(tag: string, signal?: AbortSignal): Promise<readonly Descriptor[]> {
    const found = await this.#get(tag, [OCI_INDEX], signal);
    return found === undefined ? [] : this.#parsed(index, found.body, tag).manifests;
  }

  async #get(
    reference: string,
    accept: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ readonly mediaType: string; readonly body: Buffer } | undefined> {
    const { status, headers, body } = await this.#session.ask({
      method: 'GET',
      path: `manifests/${reference}`,
      headers: { accept: accept.join(', ') },
      signal,
      expected: [200, 404],
    });
    if (status === 404) return undefined;
    if (reference.startsWith('sha256:') && reference !== `sha256:${digestOf(body)}`)
      throw new ThinError(
        'damaged',
        `${this.#url}: the manifest ${reference} was changed: its digest is another one`,
      );
    return { mediaType: (headers['content-type'] ?? '').replace(/;.*/, ''), body };
  }

  async #put(
    reference: string,
    type: string,
    body: Buffer,
  ): Promise<Readonly<Record<string, string | string[] | undefined>>> {
    const { headers } = await this.#session.ask({
      method: 'PUT',
      path: `manifests/${reference}`,
      headers: { 'content-type': type },
      body,
      expected: [201],
    });
    return headers;
  }

  async #blob({ digest }: Descriptor): Promise<Buffer> {
    const { body, status } = await this.#session.ask({
      method: 'GET',
      path: `blobs/${digest}`,
      expected: [200, 404],
    });
    if (status === 404 || `sha256:${digestOf(body)}` !== digest)
      throw new ThinError('damaged', `${this.#url}: the blob ${digest} is missing or was changed`);
    return body;
  }

  #parsed<T>(schema: z.ZodType<T>, body: Buffer, reference: string): T {
    const parsed = schema.safeParse(jsonIn(body));
    if (parsed.success) return parsed.data;
    throw new ThinError(
      'damaged',
      `${this.#url}: ${reference} is no manifest: ${z.prettifyError(parsed.error)}`,
    );
  }
}

function fallbackTag(subject: string): string {
  return subject.replace(':', '-');
}

function createdAt({ annotations }: Descriptor): string {
  return annotations?.[CREATED] ?? '';
}

function jsonIn(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

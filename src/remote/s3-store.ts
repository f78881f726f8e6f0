import { createHash } from 'node:crypto';
import { AwsV4Signer } from 'aws4fetch';
import { ThinError } from '../errors/thin-error.js';
import { rangeHeaders, requireDigest } from './blob-answer.js';
import { isDigest, type Digest } from './digest.js';
import { isPassing, NoAnswer, retryAfter, type HttpAnswer, type HttpClient } from './http-client.js';
import type { Blob } from './manifest.js';
import type { BlobKind, Note, NoteKind, RangeRequest, RemoteStore, TagState } from './remote-store.js';
import { retrying, type Attempt, type RetryLimits } from './retry.js';
import { errorCodeIn, parseListing, type S3Page } from './s3-list.js';
import type { S3Credentials } from './s3-credentials.js';

export interface S3Options {
  readonly url: string;
  readonly bucket: string;
  /** Empty, or ends in "/". */
  readonly prefix: string;
  /** Where buckets are: `https://s3.eu-central-1.amazonaws.com`. */
  readonly endpoint: URL;
  readonly region: string;
  /** The bucket is the first part of the path, not of the host's name. */
  readonly pathStyle: boolean;
  readonly credentials: { get(): Promise<S3Credentials>; forget(): void };
  readonly http: HttpClient;
  readonly retry: RetryLimits;
}

interface Asked {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'DELETE';
  /** Below the prefix; empty: the bucket. */
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal?: AbortSignal | undefined;
  /** Statuses that are an answer. */
  readonly expected: readonly number[];
  /** Undefined: an answer of such a status is broken, and is asked for again. */
  readonly take?: (answer: HttpAnswer) => boolean;
}

const FOLDERS = { pack: 'packs/', index: 'indexes/', manifest: 'manifests/' } as const;

/**
 * Images in a bucket of S3 or of a store that speaks it:
 *
 *   key := prefix ("packs/" digest | "indexes/" digest | "manifests/" digest | "tags/" tag | "notes/" kind "/" id)
 */
export class S3Store implements RemoteStore {
  readonly url: string;
  readonly isCollected = true;
  readonly #options: S3Options;
  readonly #signing = new Map<string, ArrayBuffer>();

  constructor(options: S3Options) {
    this.#options = options;
    this.url = options.url;
  }

  async read(
    kind: BlobKind,
    digest: Digest,
    range?: RangeRequest,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const answer = await this.#ask({
      method: 'GET',
      key: FOLDERS[kind] + digest,
      signal,
      expected: range === undefined ? [200, 404] : [206, 404, 416],
      ...rangeHeaders(range),
      take: ({ status, body }) => status === 404 || range === undefined || body.length === range.length,
    });
    if (answer.status === 404) throw this.#notFound(`${kind} ${digest}`);
    if (range === undefined) requireDigest(answer.body, this.url, kind, digest);
    return answer.body;
  }

  async size(kind: BlobKind, digest: Digest): Promise<number | undefined> {
    const answer = await this.#ask({ method: 'HEAD', key: FOLDERS[kind] + digest, expected: [200, 404] });
    return answer.status === 404 ? undefined : Number(answer.headers['content-length']);
  }

  async put(kind: BlobKind, digest: Digest, body: Uint8Array, signal?: AbortSignal): Promise<void> {
    const headers = { 'if-none-match': '*' };
    await this.#ask({
      method: 'PUT',
      key: FOLDERS[kind] + digest,
      body,
      headers,
      signal,
      // 412: it is there. 409: another client is writing the same.
      expected: [200, 201, 412],
    });
  }

  async putImage(digest: Digest, bytes: Uint8Array): Promise<void> {
    await this.put('manifest', digest, bytes);
  }

  imageOf(digest: Digest): Promise<Digest> {
    return Promise.resolve(digest);
  }

  async *tags(): AsyncGenerator<string> {
    for await (const { key } of this.#list('tags/')) yield key.slice('tags/'.length);
  }

  async tag(tag: string): Promise<TagState | undefined> {
    const answer = await this.#ask({
      method: 'GET',
      key: `tags/${tag}`,
      expected: [200, 404],
      take: ({ status, headers, body }) =>
        status === 404 || (headers.etag !== undefined && isDigest(body.toString().trim())),
    });
    if (answer.status === 404) return undefined;
    return { image: answer.body.toString().trim() as Digest, version: answer.headers.etag ?? '' };
  }

  listed(tag: string): Promise<TagState | undefined> {
    return this.tag(tag);
  }

  async moveTag(tag: string, image: Digest, from: TagState | undefined): Promise<boolean> {
    const isMoved = (headers: Readonly<Record<string, string>>): Promise<boolean> =>
      this.#moveTag(tag, image, headers);
    if (from === undefined) {
      if (await isMoved({ 'if-none-match': '*' })) return true;
    } else {
      if (await isMoved({ 'if-match': from.version })) return true;
      // Ceph before 17 compares with the quotes taken for a part of it.
      const now = await this.tag(tag);
      if (now?.version === from.version && (await isMoved({ 'if-match': from.version.replaceAll('"', '') })))
        return true;
    }
    // An earlier try of this request may have been done and its answer lost.
    return from?.image !== image && (await this.tag(tag))?.image === image;
  }

  async #moveTag(tag: string, image: Digest, headers: Readonly<Record<string, string>>): Promise<boolean> {
    const answer = await this.#ask({
      method: 'PUT',
      key: `tags/${tag}`,
      body: Buffer.from(`${image}\n`),
      headers,
      // 404: it was removed meanwhile.
      expected: [200, 201, 404, 409, 412],
    });
    return answer.status < 300;
  }

  async removeTag(tag: string): Promise<void> {
    if ((await this.tag(tag)) === undefined) throw this.#notFound(`tag ${tag}`);
    await this.#remove(`tags/${tag}`);
  }

  async *notes(kind: NoteKind): AsyncGenerator<Note> {
    const folder = `notes/${kind}/`;
    for await (const { key, at } of this.#list(folder)) yield { id: key.slice(folder.length), at };
  }

  async readNote(kind: NoteKind, id: string): Promise<Uint8Array | undefined> {
    const answer = await this.#ask({ method: 'GET', key: `notes/${kind}/${id}`, expected: [200, 404] });
    return answer.status === 404 ? undefined : answer.body;
  }

  async putNote(kind: NoteKind, id: string, body: Uint8Array): Promise<void> {
    await this.#ask({ method: 'PUT', key: `notes/${kind}/${id}`, body, expected: [200, 201] });
  }

  async removeNote(kind: NoteKind, id: string): Promise<void> {
    await this.#remove(`notes/${kind}/${id}`);
  }

  async *list(kind: BlobKind): AsyncGenerator<Blob> {
    const folder = FOLDERS[kind];
    for await (const { key, size } of this.#list(folder)) {
      const digest = key.slice(folder.length);
      if (isDigest(digest)) yield { digest, size };
    }
  }

  remove(kind: BlobKind, digest: Digest, signal?: AbortSignal): Promise<void> {
    return this.#remove(FOLDERS[kind] + digest, signal);
  }

  warm(connections: number): void {
    this.#options.http.warm(connections);
  }

  close(): void {
    this.#options.http.close();
  }

  async #remove(key: string, signal?: AbortSignal): Promise<void> {
    await this.#ask({ method: 'DELETE', key, signal, expected: [200, 204, 404] });
  }

  async *#list(folder: string): AsyncGenerator<S3Page['objects'][number]> {
    const prefix = this.#options.prefix + folder;
    let from: string | undefined;
    do {
      let page: S3Page | undefined;
      await this.#ask({
        method: 'GET',
        key: '',
        query: {
          'list-type': '2',
          prefix,
          ...(from === undefined ? {} : { 'continuation-token': from }),
        },
        expected: [200],
        take: ({ body }) => (page = parseListing(body.toString())) !== undefined,
      });
      for (const { key, size, at } of page?.objects ?? [])
        yield { key: key.slice(this.#options.prefix.length), size, at };
      from = page?.next;
    } while (from !== undefined);
  }

  #ask(asked: Asked): Promise<HttpAnswer> {
    const { credentials, retry: limits } = this.#options;
    const refresh = (): Promise<void> => {
      credentials.forget();
      return Promise.resolve();
    };
    return retrying(this.url, () => this.#try(asked), { limits, refresh, signal: asked.signal });
  }

  async #try(asked: Asked): Promise<Attempt<HttpAnswer>> {
    const { method, body, signal, expected } = asked;
    const { url, headers } = await this.#signed(asked);
    let answer;
    try {
      answer = await this.#options.http.request({ method, url, headers, body, signal });
    } catch (error) {
      if (error instanceof NoAnswer) return { kind: 'again', problem: error.message };
      throw error;
    }
    const { status } = answer;
    const code = errorCodeIn(answer.body.subarray(0, 4096).toString());
    if (code === 'NoSuchBucket') throw this.#notFound(`bucket ${this.#options.bucket}`);
    if (expected.includes(status))
      return asked.take?.(answer) === false
        ? { kind: 'again', problem: 'half an answer' }
        : { kind: 'done', value: answer };
    const problem = `${status}${code === undefined ? '' : ` ${code}`}`;
    if (status === 401 || status === 403 || code === 'ExpiredToken') return { kind: 'refused', problem };
    if (isPassing(status) || status === 409 || code === 'RequestTimeout' || status === 206 || status === 200)
      return { kind: 'again', problem, afterMs: retryAfter(answer.headers) };
    throw new ThinError('io', `${this.url} answers ${problem} to ${method} ${asked.key}`, {
      details: { status },
    });
  }

  async #signed(asked: Asked): Promise<{ url: URL; headers: Record<string, string> }> {
    const { endpoint, bucket, prefix, pathStyle, region, credentials } = this.#options;
    const url = new URL(endpoint);
    if (!pathStyle) url.hostname = `${bucket}.${url.hostname}`;
    const folder = url.pathname.replace(/\/$/, '') + (pathStyle ? `/${bucket}` : '');
    const key = asked.key === '' ? '' : (prefix + asked.key).split('/').map(encodeURIComponent).join('/');
    url.pathname = `${folder}/${key}`;
    for (const [name, value] of Object.entries(asked.query ?? {})) url.searchParams.set(name, value);
    const { accessKeyId, secretAccessKey, sessionToken } = await credentials.get();
    const signer = new AwsV4Signer({
      method: asked.method,
      url: url.href,
      headers: {
        ...asked.headers,
        'x-amz-content-sha256': createHash('sha256')
          .update(asked.body ?? '')
          .digest('hex'),
      },
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      service: 's3',
      region,
      cache: this.#signing,
    });
    const signed = await signer.sign();
    return { url: signed.url, headers: Object.fromEntries(signed.headers) };
  }

  #notFound(what: string): ThinError {
    return new ThinError('not-found', `${this.url}: there is no ${what}`);
  }
}

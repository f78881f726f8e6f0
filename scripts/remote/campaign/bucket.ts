import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createHash } from 'node:crypto';
import { unpackOpenManifest } from '../../../src/remote/manifest.js';

interface Stored {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly at: number;
}

export interface BucketFaults {
  /** Parts of 1: requests that are refused, and those that are done and whose answer is lost. */
  readonly refused: number;
  readonly lost: number;
  /** Requests that take up to so many milliseconds longer. */
  readonly slow: number;
  readonly mostMs: number;
}

/**
 * A bucket of S3 in memory that is slow and fails at random, and looks after each change whether all that its
 * tags need is there. Pages of lists have 50 keys.
 */
export class Bucket {
  /** What was found wrong, the first time. */
  broken: string | undefined;
  requests = 0;
  failures = 0;
  removed = 0;
  readonly #objects = new Map<string, Stored>();
  readonly #faults: BucketFaults;
  readonly #server: Server;

  constructor(faults: BucketFaults) {
    this.#faults = faults;
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  count(folder: string): number {
    return [...this.#objects.keys()].filter((key) => key.startsWith(folder)).length;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
    this.requests++;
    const { refused, lost, slow, mostMs } = this.#faults;
    const wait = (): Promise<void> =>
      new Promise((resolve) => setTimeout(resolve, Math.random() < slow ? Math.random() * mostMs : 0));
    await wait();
    if (Math.random() < refused) {
      this.failures++;
      response.writeHead(503).end();
      return;
    }
    this.#do(request, Buffer.concat(pieces), response);
    if (Math.random() < lost) {
      this.failures++;
      response.destroy();
      return;
    }
    await wait();
    response.end();
  }

  /** At one moment. Everything but the end of the answer. */
  #do({ method, url, headers }: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(url ?? '', 'http://bucket');
    const key = decodeURIComponent(pathname.replace(/^\/bucket\//, ''));
    if (searchParams.has('list-type')) {
      this.#list(searchParams, response);
      return;
    }
    const found = this.#objects.get(key);
    if (method === 'PUT') {
      const isRefused =
        (headers['if-none-match'] !== undefined && found !== undefined) ||
        (headers['if-match'] !== undefined && headers['if-match'] !== found?.etag);
      if (!isRefused) {
        const etag = `"${createHash('md5').update(body).digest('hex')}"`;
        this.#objects.set(key, { bytes: body, etag, at: Date.now() });
        this.#look(`PUT ${key}`);
      }
      response.writeHead(isRefused ? 412 : 200);
    } else if (method === 'DELETE') {
      if (this.#objects.delete(key) && /^(packs|indexes|manifests)/.test(key)) this.removed++;
      this.#look(`DELETE ${key}`);
      response.writeHead(204);
    } else if (found === undefined) response.writeHead(404);
    else {
      const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
      const bytes =
        range === null ? found.bytes : found.bytes.subarray(Number(range[1]), Number(range[2]) + 1);
      response.writeHead(range === null ? 200 : 206, { etag: found.etag, 'content-length': bytes.length });
      if (method === 'GET') response.write(bytes);
    }
  }

  #list(query: URLSearchParams, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    const after = query.get('continuation-token') ?? '';
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, 50);
    const contents = page.map((key) => {
      const { bytes, at } = this.#objects.get(key)!;
      return `<Contents><Key>${key}</Key><Size>${bytes.length}</Size><LastModified>${new Date(at).toISOString()}</LastModified></Contents>`;
    });
    const more =
      keys.length > page.length
        ? `<IsTruncated>true</IsTruncated><NextContinuationToken>${page.at(-1)}</NextContinuationToken>`
        : '<IsTruncated>false</IsTruncated>';
    response.writeHead(200);
    response.write(`<ListBucketResult>${contents.join('')}${more}</ListBucketResult>`);
  }

  #look(change: string): void {
    for (const [key, { bytes }] of this.#objects) {
      if (!key.startsWith('tags/')) continue;
      const image = bytes.toString().trim();
      const manifest = this.#objects.get(`manifests/${image}`);
      if (manifest === undefined) {
        this.broken ??= `${change}: ${key} leads to the manifest ${image}, which is gone`;
        continue;
      }
      const { indexes, packs } = unpackOpenManifest(manifest.bytes, key);
      for (const [folder, blobs] of [
        ['indexes', indexes],
        ['packs', packs],
      ] as const)
        for (const { digest } of blobs)
          if (!this.#objects.has(`${folder}/${digest}`))
            this.broken ??= `${change}: ${key} needs ${folder}/${digest}, which is gone`;
    }
  }
}

import http, { type IncomingHttpHeaders } from 'node:http';
import https from 'node:https';
import { rootCertificates } from 'node:tls';
import { systemErrorCode, toThinError } from '../errors/thin-error.js';
import { WarmHttpAgent, WarmHttpsAgent, type WarmAgent } from './warm-agent.js';

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  /** Bytes of an answer that are taken; more is a broken answer. */
  readonly most?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  /** What was asked. */
  readonly url: URL;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** The store did not answer, or broke off: the same request may be answered another time. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

export interface HttpClientOptions {
  /** Certificates in PEM that are trusted beside Node's own. */
  readonly ca?: string | undefined;
  /** What this side shows, in PEM. */
  readonly client?: { readonly cert: string; readonly key: string } | undefined;
  /** Whether the other side's certificate is looked at. Default true. */
  readonly isVerified?: boolean | undefined;
  /** Milliseconds in which nothing at all comes or goes. */
  readonly idleMs: number;
  /** To one host. */
  readonly connections: number;
}

const MOST = 64 * 2 ** 20;

/**
 * HTTP over connections that are kept. Node's own `fetch` has no certificates of one's own and refuses some
 * ports.
 */
export class HttpClient {
  readonly #options: HttpClientOptions;
  readonly #ca: readonly string[] | undefined;
  readonly #agents: { readonly http: WarmAgent; readonly https: WarmAgent };

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.#ca = options.ca === undefined ? undefined : [...rootCertificates, options.ca];
    const kept = { keepAlive: true, maxSockets: options.connections, scheduling: 'lifo' as const };
    this.#agents = { http: new WarmHttpAgent(kept), https: new WarmHttpsAgent(kept) };
  }

  /** Follows no redirection. Rejects with NoAnswer, or with what the signal carries. */
  request({ method, url, headers = {}, body, most = MOST, signal }: HttpRequest): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        reject(
          signal?.aborted === true
            ? toThinError(signal.reason)
            : new NoAnswer(wordsOf(error), { cause: error }),
        );
      };
      const isTls = url.protocol === 'https:';
      const options = {
        method,
        headers: body === undefined ? headers : { ...headers, 'content-length': `${body.length}` },
        timeout: this.#options.idleMs,
        ...(signal === undefined ? {} : { signal }),
      };
      const request = isTls
        ? https.request(url, {
            ...options,
            agent: this.#agents.https,
            ...(this.#ca && { ca: [...this.#ca] }),
            ...this.#options.client,
            rejectUnauthorized: this.#options.isVerified !== false,
          })
        : http.request(url, { ...options, agent: this.#agents.http });
      request.on('timeout', () => request.destroy(new Error(`nothing came for ${this.#options.idleMs} ms`)));
      request.on('error', fail);
      request.on('response', (response) => {
        const pieces: Buffer[] = [];
        let length = 0;
        response.on('data', (piece: Buffer) => {
          pieces.push(piece);
          length += piece.length;
          if (length > most) response.destroy(new Error(`the answer has more than ${most} bytes`));
        });
        response.on('error', fail);
        response.on('end', () => {
          if (!response.complete) fail(new Error('the answer was cut off'));
          else
            resolve({
              url,
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(pieces, length),
            });
        });
      });
      request.end(body);
    });
  }

  /** The next request that has to open a connection opens so many more, for those that come after it. */
  warm(connections: number): void {
    for (const { stock } of [this.#agents.http, this.#agents.https]) stock.wanted = connections;
  }

  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }
}

function wordsOf(error: Error): string {
  return systemErrorCode(error) ?? error.message;
}

/** Of an answer that is not the one that was hoped for. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/** Milliseconds that the store asks to wait. */
export function retryAfter(headers: IncomingHttpHeaders): number | undefined {
  const seconds = Number(headers['retry-after']);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 30) * 1000 : undefined;
}

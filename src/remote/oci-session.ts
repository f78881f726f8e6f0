import { ThinError } from '../errors/thin-error.js';
import type { RegistryLogin } from './docker-credentials.js';
import { isPassing, NoAnswer, retryAfter, type HttpAnswer, type HttpClient } from './http-client.js';
import { retrying, type Attempt, type RetryLimits } from './retry.js';

export interface OciSessionOptions {
  readonly url: string;
  readonly registry: URL;
  /** Of the API, with a slash at its end. Default: `/v2/` of the registry. */
  readonly api?: URL | undefined;
  /** Of every request to that host. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The registry whose repository a mirror is asked for. */
  readonly mirrorOf?: string | undefined;
  readonly repository: string;
  readonly login: () => Promise<RegistryLogin | undefined>;
  readonly http: HttpClient;
  readonly retry: RetryLimits;
}

export interface OciRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** From the repository on (`blobs/…`), or a whole address that the registry gave. */
  readonly path: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal?: AbortSignal | undefined;
  readonly expected: readonly number[];
  readonly take?: (answer: HttpAnswer) => boolean;
}

const REDIRECTED = [301, 302, 303, 307, 308];

/** Requests to one repository of a registry, with a token or a password as it wants them. */
export class OciSession {
  readonly #options: OciSessionOptions;
  #authorization: string | undefined;

  constructor(options: OciSessionOptions) {
    this.#options = options;
  }

  /** Errors: io, permission, closed. */
  ask(request: OciRequest): Promise<HttpAnswer> {
    const { url, retry: limits } = this.#options;
    // A first refusal is how a registry says which credentials it wants, and how it says that they have
    // ended.
    const refresh = (): Promise<void> => Promise.resolve();
    return retrying(url, () => this.#try(request), { limits, refresh, signal: request.signal });
  }

  warm(connections: number): void {
    this.#options.http.warm(connections);
  }

  close(): void {
    this.#options.http.close();
  }

  async #try(request: OciRequest): Promise<Attempt<HttpAnswer>> {
    try {
      const answer = await this.#send(request);
      const { status, headers } = answer;
      if (request.expected.includes(status))
        return request.take?.(answer) === false
          ? { kind: 'again', problem: 'half an answer' }
          : { kind: 'done', value: answer };
      const problem = `${status}${codeIn(answer)}`;
      if (status === 401) {
        await this.#authorize(headers['www-authenticate'] ?? '', request.signal);
        return { kind: 'refused', problem };
      }
      if (status === 403) return { kind: 'refused', problem };
      if (isPassing(status) || status === 200 || status === 206)
        return { kind: 'again', problem, afterMs: retryAfter(headers) };
      throw new ThinError(
        'io',
        `${this.#options.url} answers ${problem} to ${request.method} ${wordsOf(request)}`,
        {
          details: { status },
        },
      );
    } catch (error) {
      if (error instanceof NoAnswer) return { kind: 'again', problem: error.message };
      throw error;
    }
  }

  async #send({ method, path, headers, body, signal }: OciRequest): Promise<HttpAnswer> {
    const { registry, repository, http, api = new URL('v2/', registry), mirrorOf } = this.#options;
    let url = typeof path === 'string' ? new URL(`${repository}/${path}`, api) : path;
    // As containerd tells one mirror of several registries which of them is meant.
    if (mirrorOf !== undefined && typeof path === 'string') url.searchParams.set('ns', mirrorOf);
    for (let hops = 0; ; hops++) {
      // Behind a proxy for TLS, registries give addresses with http; no token goes there.
      if (url.host === registry.host && url.protocol !== registry.protocol) {
        url = new URL(url);
        url.protocol = registry.protocol;
      }
      // A store behind the registry has credentials in the address and takes no others.
      const isOwn = url.host === registry.host;
      const authorization = isOwn ? this.#authorization : undefined;
      const answer = await http.request({
        method,
        url,
        headers: {
          ...headers,
          ...(isOwn && this.#options.headers),
          ...(authorization === undefined ? {} : { authorization }),
        },
        body,
        signal,
      });
      const location = answer.headers.location;
      if (hops === 5 || location === undefined || !REDIRECTED.includes(answer.status)) return answer;
      url = new URL(location, url);
    }
  }

  async #authorize(challenge: string, signal: AbortSignal | undefined): Promise<void> {
    const login = await this.#options.login();
    const basic = login && `Basic ${Buffer.from(`${login.user}:${login.secret}`).toString('base64')}`;
    const fields = new Map(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!]),
    );
    const realm = fields.get('realm');
    if (!/^bearer/i.test(challenge) || realm === undefined) {
      this.#authorization = basic;
      return;
    }
    const url = new URL(realm, this.#options.registry);
    url.searchParams.set('service', fields.get('service') ?? '');
    url.searchParams.set('scope', `repository:${this.#options.repository}:pull,push,delete`);
    const answer = await this.#options.http.request({
      method: 'GET',
      url,
      headers: basic === undefined ? {} : { authorization: basic },
      signal,
    });
    const token = tokenIn(answer);
    if (token === undefined)
      throw new ThinError(
        'permission',
        `${this.#options.url} gives no access (${answer.status} from ${url.host}); log in with: docker login ${this.#options.registry.host}`,
      );
    this.#authorization = `Bearer ${token}`;
  }
}

function tokenIn({ status, body }: HttpAnswer): string | undefined {
  if (status !== 200) return undefined;
  try {
    const { token, access_token: other } = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
    const found = token ?? other;
    return typeof found === 'string' ? found : undefined;
  } catch {
    return undefined;
  }
}

function codeIn({ body }: HttpAnswer): string {
  const code = /"code"\s*:\s*"([A-Z_]+)"/.exec(body.subarray(0, 4096).toString())?.[1];
  return code === undefined ? '' : ` ${code}`;
}

/** Without what an address may carry in its query. */
function wordsOf({ path }: OciRequest): string {
  return typeof path === 'string' ? path.replace(/\?.*/, '') : path.pathname;
}

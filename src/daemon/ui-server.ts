import { randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { HTTP_LIMITS, httpTimeouts } from '../adapter/http-limits.js';
import type { UiEvent, UiState } from '../api/ui.js';
import { version } from '../config/version.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { ServedPool } from '../service/pool-service.js';
import { eventText, type EventHub } from './event-hub.js';
import { isLoopback, parseListenAddress, type ListenAddress } from './listen-address.js';
import type { UsageHistory } from './usage-history.js';

/** Made of `page/` by the build; it lies there from src/daemon and from dist/daemon. */
const PAGE = fileURLToPath(new URL('../../dist/page/', import.meta.url));

const FILES: Readonly<Record<string, { readonly file: string; readonly type: string }>> = {
  '/': { file: 'index.html', type: 'text/html; charset=utf-8' },
  '/page.js': { file: 'page.js', type: 'text/javascript; charset=utf-8' },
  '/page.css': { file: 'page.css', type: 'text/css; charset=utf-8' },
};

/** The page loads nothing from elsewhere, and no other page may frame it. */
const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

const DEFAULT_ADDRESS: ListenAddress = { host: '127.0.0.1', port: 0 };
const COOKIE = 'thinfuse';
const EVENTS_SHOWN = 200;

export interface UiSource {
  readonly served: ServedPool;
  readonly poolName: string;
  readonly history: UsageHistory;
  readonly events: Pick<EventHub, 'last'> | undefined;
}

interface Listening {
  readonly http: FastifyInstance;
  readonly url: string;
}

/**
 * Serves the page that shows the pool, and the data that the page asks for. GET only, so that no request
 * changes anything.
 */
export class UiServer {
  readonly #source: UiSource;
  #listening: Listening | undefined;
  #opening: Promise<unknown> = Promise.resolve();

  constructor(source: UiSource) {
    this.#source = source;
  }

  /** As the operation `ui.open`. */
  async open(listen: string | undefined): Promise<string> {
    const address = listen === undefined ? undefined : parseListenAddress(listen, '--listen');
    const opened = this.#opening.then(async () => {
      if (this.#listening !== undefined && address === undefined) return this.#listening.url;
      const next = await this.#listen(address ?? DEFAULT_ADDRESS);
      await this.#listening?.http.close();
      this.#listening = next;
      return next.url;
    });
    this.#opening = opened.catch(() => undefined);
    return opened;
  }

  async close(): Promise<void> {
    await this.#opening;
    await this.#listening?.http.close();
    this.#listening = undefined;
  }

  async #listen({ host, port }: ListenAddress): Promise<Listening> {
    const token = isLoopback(host) ? undefined : randomBytes(18).toString('base64url');
    const http = Fastify({ ...httpTimeouts(HTTP_LIMITS), forceCloseConnections: true, logger: false });
    http.addHook('onRequest', (request, reply, done) => {
      void reply.headers(HEADERS);
      if (!mayLook(request, reply, token)) return;
      done();
    });
    for (const [at, { file, type }] of Object.entries(FILES))
      http.get(at, async (_request, reply) => reply.type(type).send(await readFile(`${PAGE}${file}`)));
    http.get('/api/state', () => this.#state());
    http.get('/api/history', () => this.#source.history.get());
    http.get('/api/events', () => this.#events());
    try {
      const at = await http.listen({ host, port });
      return { http, url: token === undefined ? `${at}/` : `${at}/?token=${token}` };
    } catch (error) {
      await http.close();
      const busy = systemErrorCode(error) === 'EADDRINUSE';
      throw new ThinError(
        busy ? 'busy' : 'invalid-argument',
        `the page cannot be served on ${host}:${port}: ${error instanceof Error ? error.message : String(error)}; give another --listen`,
        { cause: error },
      );
    }
  }

  async #state(): Promise<UiState> {
    const { served, poolName } = this.#source;
    const { pool } = served;
    const info = pool.info();
    const { host, pendingBytes } = pool.figures();
    return {
      root: served.layout.root,
      version: version(),
      pool: {
        name: poolName,
        kind: info.kind,
        mode: info.mode,
        needsCheck: info.needsCheck,
        dataUsed: info.dataUsed,
        dataTotal: info.dataTotal,
        autoextendThreshold: info.options.autoextendThreshold,
        minFreePercent: info.options.minFreeSpace,
      },
      figures: { host, pendingBytes },
      devices: await served.devices.list(),
    };
  }

  #events(): readonly UiEvent[] {
    const events = this.#source.events?.last(EVENTS_SHOWN) ?? [];
    return events.map((event) => ({ level: event.level, text: eventText(event) }));
  }
}

/**
 * On a loopback address, allows requests that name that address, so that a foreign page cannot use a name of
 * its own (DNS rebinding). On other addresses, allows requests with the token, which a browser keeps as a
 * cookie. Answers and refuses all others.
 */
function mayLook(request: FastifyRequest, reply: FastifyReply, token: string | undefined): boolean {
  if (token === undefined) {
    if (isLoopback(request.hostname.replace(/^\[|\]$/g, ''))) return true;
    void reply.code(403).send({ error: `this page is at localhost, not at ${request.hostname}` });
    return false;
  }
  const { searchParams } = new URL(request.url, 'http://localhost');
  const asked = searchParams.get('token');
  const cookie = /(?:^|; )thinfuse=([^;]*)/.exec(request.headers.cookie ?? '')?.[1];
  const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (![asked, cookie, bearer].some((given) => given != null && isSame(given, token))) {
    void reply.code(401).send({ error: 'thinfuse ui prints the address with the token that is needed here' });
    return false;
  }
  if (asked !== null) {
    // Out of the address, which ends up in histories.
    void reply
      .header('set-cookie', `${COOKIE}=${token}; HttpOnly; SameSite=Strict; Path=/`)
      .redirect('/', 303);
    return false;
  }
  return true;
}

function isSame(given: string, token: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}

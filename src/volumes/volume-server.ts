import { createServer, type Server } from 'node:net';
import Fastify, { type FastifyInstance } from 'fastify';
import type { AdapterCalls } from '../adapter/adapter-calls.js';
import type { PrivateServer } from '../adapter/pool-adapter.js';
import { ATTEMPT_HEADER, CALL_HEADER, outlivedCall, type OutlivedCall } from '../adapter/outlived.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { METHODS, parseRequest, type Method, type Requests, type Responses } from './messages.js';
import { HTTP_LIMITS, httpTimeouts, type HttpLimits } from '../adapter/http-limits.js';
import { leavePlace, listenAt, type ListenPlace } from '../host/listening.js';
import { makePluginFolder } from './plugin-folder.js';
import type { Volumes } from './volumes.js';

/** A name and a few options. */
const BODY_LIMIT = 64 * 1024;
const CONTENT_TYPE = 'application/vnd.docker.plugins.v1.2+json';

type Handlers = {
  readonly [K in Method]: (request: Requests[K], call: OutlivedCall | undefined) => Promise<Responses[K]>;
};

/**
 * The volume plugin protocol (volumes/messages.ts) on unix sockets. Every failure is a status of 4xx or 5xx
 * with its text as `Err`.
 */
export class VolumeServer implements PrivateServer {
  readonly #http: FastifyInstance;
  readonly #volumes: Volumes;
  readonly #calls: AdapterCalls;
  /** Undefined: the HTTP server listens there itself, which it can once. */
  readonly #places = new Map<ListenPlace, Server | undefined>();

  constructor(parts: { volumes: Volumes; calls: AdapterCalls; limits?: HttpLimits }) {
    this.#volumes = parts.volumes;
    this.#calls = parts.calls;
    this.#http = Fastify({
      ...httpTimeouts(parts.limits ?? HTTP_LIMITS),
      bodyLimit: BODY_LIMIT,
      forceCloseConnections: true,
      logger: false,
    });
    // Engines name no type, or one of their own, and send JSON.
    this.#http.removeAllContentTypeParsers();
    this.#http.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
      done(null, body);
    });
    const handlers = this.#handlers();
    for (const method of METHODS) this.#serve(method, handlers);
    this.#http.setNotFoundHandler((request, reply) =>
      reply
        .code(404)
        .type(CONTENT_TYPE)
        .send(encoded({ Err: `thinfuse knows no ${request.method} ${request.url}` })),
    );
    this.#http.setErrorHandler<Error & { statusCode?: number }>((error, _request, reply) =>
      reply
        .code(error.statusCode ?? 500)
        .type(CONTENT_TYPE)
        .send(encoded({ Err: error.message })),
    );
  }

  async listen(place: ListenPlace): Promise<void> {
    await makePluginFolder(place.socket);
    await this.#http.ready();
    const { server } = this.#http;
    const other = this.#places.size === 0 ? undefined : createServer((one) => server.emit('connection', one));
    await listenAt(other ?? server, place);
    this.#places.set(place, other);
  }

  async close(): Promise<void> {
    const { server } = this.#http;
    for (const other of this.#places.values()) other?.close();
    server.close();
    server.closeAllConnections();
    await this.#http.close();
    for (const place of this.#places.keys()) await leavePlace(place);
  }

  #handlers(): Handlers {
    const volumes = this.#volumes;
    const done = { Err: '' } as const;
    return {
      'Plugin.Activate': () => Promise.resolve({ Implements: ['VolumeDriver'] }),
      'VolumeDriver.Capabilities': () => Promise.resolve({ Capabilities: { Scope: 'local' } }),
      'VolumeDriver.Create': async ({ Name, Opts }) => {
        await volumes.create(Name, Opts);
        return done;
      },
      'VolumeDriver.Remove': async ({ Name }, call) => {
        await volumes.remove(Name, call);
        return done;
      },
      'VolumeDriver.Mount': async ({ Name, ID }) => ({ ...done, Mountpoint: await volumes.mount(Name, ID) }),
      'VolumeDriver.Unmount': async ({ Name, ID }) => {
        await volumes.unmount(Name, ID);
        return done;
      },
      'VolumeDriver.Path': ({ Name }) => Promise.resolve({ ...done, Mountpoint: volumes.path(Name) }),
      'VolumeDriver.Get': ({ Name }) => Promise.resolve({ ...done, Volume: volumes.get(Name) }),
      'VolumeDriver.List': async () => ({ ...done, Volumes: await volumes.list() }),
    };
  }

  #serve<K extends Method>(method: K, handlers: Pick<Handlers, K>): void {
    this.#http.post(`/${method}`, async (request, reply) => {
      const of = (header: string): string | undefined => request.headers[header]?.toString();
      const call = outlivedCall(of(CALL_HEADER), of(ATTEMPT_HEADER));
      const { status, answer } = await this.#answer(method, request.body, (asked) =>
        handlers[method](asked, call),
      );
      return reply.code(status).type(CONTENT_TYPE).send(encoded(answer));
    });
  }

  async #answer<K extends Method>(
    method: K,
    body: unknown,
    handler: (request: Requests[K]) => Promise<Responses[K]>,
  ): Promise<{ readonly status: number; readonly answer: object }> {
    try {
      const work = async (request: unknown): Promise<Responses[K]> => handler(parseRequest(method, request));
      return { status: 200, answer: await this.#calls.run(method, () => parseBody(body), work) };
    } catch (error) {
      const failure = toThinError(error);
      return { status: statusOf(failure), answer: { Err: failure.message } };
    }
  }
}

/**
 * Docker shows the text of any, and takes 404 for a plugin that does not know the method. A relay asks the
 * next daemon after 503.
 */
function statusOf({ code, exitCode }: ThinError): number {
  if (code === 'closed') return 503;
  return exitCode === 2 ? 400 : 500;
}

/** @throws ThinError invalid-argument */
function parseBody(body: unknown): unknown {
  if (typeof body !== 'string' || body.trim() === '') return {};
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new ThinError('invalid-argument', 'the request is not JSON', { cause: error });
  }
}

/** As bytes, to whose type Fastify adds nothing. */
function encoded(answer: object): Buffer {
  return Buffer.from(JSON.stringify(answer));
}

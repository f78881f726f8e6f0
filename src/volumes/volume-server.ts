import { chmod, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import Fastify, { type FastifyInstance } from 'fastify';
import type { AdapterCalls } from '../adapter/adapter-calls.js';
import type { PrivateServer } from '../adapter/pool-adapter.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import {
  DEFAULT_PLUGIN_SOCKET,
  METHODS,
  parseRequest,
  type Method,
  type Requests,
  type Responses,
} from './messages.js';
import { HTTP_LIMITS, httpTimeouts, type HttpLimits } from '../adapter/http-limits.js';
import { listenPrivately } from '../host/private-socket.js';
import type { Volumes } from './volumes.js';

/** A name and a few options. */
const BODY_LIMIT = 64 * 1024;
const CONTENT_TYPE = 'application/vnd.docker.plugins.v1.2+json';

type Handlers = { readonly [K in Method]: (request: Requests[K]) => Promise<Responses[K]> };

/**
 * The volume plugin protocol (volumes/messages.ts) on a unix socket of mode 0600. Every failure is a status
 * of 4xx or 500 with its text as `Err`.
 */
export class VolumeServer implements PrivateServer {
  readonly #http: FastifyInstance;
  readonly #socket: string;
  readonly #volumes: Volumes;
  readonly #calls: AdapterCalls;

  constructor(parts: { socket: string; volumes: Volumes; calls: AdapterCalls; limits?: HttpLimits }) {
    this.#socket = parts.socket;
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

  /** Errors: io (the socket cannot be made there). */
  async listen(): Promise<void> {
    // Docker's folder of plugins may not be there before Docker is.
    const folder = path.dirname(this.#socket);
    if (folder === path.dirname(DEFAULT_PLUGIN_SOCKET)) {
      const made = await mkdir(folder, { recursive: true });
      if (made !== undefined) await chmod(folder, 0o755);
    }
    try {
      await listenPrivately(this.#socket, () => this.#http.listen({ path: this.#socket }));
    } catch (error) {
      throw new ThinError(
        'io',
        `the volume plugin's socket ${this.#socket} cannot be made (${error instanceof Error ? error.message : String(error)}); choose one with a path below 108 bytes in a folder that is there`,
        { cause: error },
      );
    }
  }

  /** Lets answers under way out, then removes the socket. */
  async close(): Promise<void> {
    await this.#http.close();
    await rm(this.#socket, { force: true });
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
      'VolumeDriver.Remove': async ({ Name }) => {
        await volumes.remove(Name);
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
      const { status, answer } = await this.#answer(method, request.body, handlers[method]);
      return reply.code(status).type(CONTENT_TYPE).send(encoded(answer));
    });
  }

  async #answer<K extends Method>(
    method: K,
    body: unknown,
    handler: Handlers[K],
  ): Promise<{ readonly status: number; readonly answer: object }> {
    try {
      const work = async (request: unknown): Promise<Responses[K]> => handler(parseRequest(method, request));
      return { status: 200, answer: await this.#calls.run(method, () => parseBody(body), work) };
    } catch (error) {
      const { exitCode, message } = toThinError(error);
      // Docker shows the text of any, and takes 404 for a plugin that does not know the method.
      return { status: exitCode === 2 ? 400 : 500, answer: { Err: message } };
    }
  }
}

/** @throws ThinError invalid-argument */
function parseBody(body: unknown): unknown {
  if (typeof body !== 'string' || body.trim() === '') return {};
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new ThinError('invalid-argument', 'the request is no JSON', { cause: error });
  }
}

/** As bytes, to whose type Fastify adds nothing. */
function encoded(answer: object): Buffer {
  return Buffer.from(JSON.stringify(answer));
}

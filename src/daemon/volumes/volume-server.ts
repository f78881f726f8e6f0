import { chmod, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import Fastify, { type FastifyInstance } from 'fastify';
import { ThinError, toThinError } from '../../errors/thin-error.js';
import {
  DEFAULT_PLUGIN_SOCKET,
  METHODS,
  parseRequest,
  type Method,
  type Requests,
  type Responses,
} from '../../volumes/messages.js';
import { HTTP_LIMITS, httpTimeouts, type HttpLimits } from '../http-limits.js';
import { answers } from '../live-socket.js';
import type { Volumes } from './volumes.js';

/** A name and a few options. */
const BODY_LIMIT = 64 * 1024;
const CONTENT_TYPE = 'application/vnd.docker.plugins.v1.2+json';

type Handlers = { readonly [K in Method]: (request: Requests[K]) => Promise<Responses[K]> };

/** What is told of a call that is over. */
export interface VolumeCall {
  readonly method: Method;
  readonly request: unknown;
  readonly milliseconds: number;
  readonly error: ThinError | undefined;
}

/** The volume plugin protocol (volumes/messages.ts) on a unix socket of mode 0600. Every failure is a status of 4xx or 500 with its text as `Err`. */
export class VolumeServer {
  readonly #http: FastifyInstance;
  readonly #socket: string;
  readonly #volumes: Volumes;
  /** Counts a call in and returns what counts it out. Errors: closed. */
  readonly #enter: () => () => void;
  readonly #onCall: (call: VolumeCall) => void;

  constructor(parts: {
    socket: string;
    volumes: Volumes;
    enter: () => () => void;
    onCall: (call: VolumeCall) => void;
    limits?: HttpLimits;
  }) {
    this.#socket = parts.socket;
    this.#volumes = parts.volumes;
    this.#enter = parts.enter;
    this.#onCall = parts.onCall;
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

  /** Replaces a socket that nobody answers on. Errors: already-running, io (the socket cannot be made there). */
  async listen(): Promise<void> {
    if (await answers(this.#socket))
      throw new ThinError(
        'already-running',
        `a volume plugin already answers on ${this.#socket}; stop it, or choose another socket`,
      );
    // Docker's folder of plugins may not be there before Docker is.
    const folder = path.dirname(this.#socket);
    if (folder === path.dirname(DEFAULT_PLUGIN_SOCKET)) {
      const made = await mkdir(folder, { recursive: true });
      if (made !== undefined) await chmod(folder, 0o755);
    }
    const before = process.umask(0o177);
    try {
      await rm(this.#socket, { force: true });
      await this.#http.listen({ path: this.#socket });
      await chmod(this.#socket, 0o600);
    } catch (error) {
      throw new ThinError(
        'io',
        `the volume plugin's socket ${this.#socket} cannot be made (${error instanceof Error ? error.message : String(error)}); choose one with a path below 108 bytes in a folder that is there`,
        { cause: error },
      );
    } finally {
      process.umask(before);
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
      const answer = await this.#counted(method, request.body, handlers[method]);
      return reply
        .code(answer.error === undefined ? 200 : statusOf(answer.error))
        .type(CONTENT_TYPE)
        .send(encoded(answer.error === undefined ? answer.value : { Err: answer.error.message }));
    });
  }

  async #counted<K extends Method>(
    method: K,
    body: unknown,
    handler: Handlers[K],
  ): Promise<{ readonly value?: Responses[K]; readonly error: ThinError | undefined }> {
    const began = performance.now();
    let request: unknown;
    let error: ThinError | undefined;
    let leave: () => void = () => undefined;
    try {
      leave = this.#enter();
      request = parseBody(body);
      return { value: await handler(parseRequest(method, request)), error };
    } catch (thrown) {
      error = toThinError(thrown);
      return { error };
    } finally {
      leave();
      this.#onCall({ method, request, milliseconds: performance.now() - began, error });
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

/** Docker shows the text of any, and takes 404 for a plugin that does not know the method. */
function statusOf({ exitCode }: ThinError): number {
  return exitCode === 2 ? 400 : 500;
}

/** As bytes, to whose type Fastify adds nothing. */
function encoded(answer: object | undefined): Buffer {
  return Buffer.from(JSON.stringify(answer));
}

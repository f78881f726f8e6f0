import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { isLong, jsonPieces, textPieces } from './json-pieces.js';
import { HTTP_LIMITS, httpTimeouts, type HttpLimits } from '../adapter/http-limits.js';
import { listenPrivately } from '../host/private-socket.js';
import { refuseLive } from '../api/live-socket.js';
import type { Dispatcher } from './dispatcher.js';
import { isOperationName, isTextOperationName } from './schemas.js';
import { encodeLines } from '../api/text-lines.js';
import { OPERATIONS_PATH, packError } from '../api/wire.js';

/** The largest input is a device name and a path; anything near this is a mistake. */
const BODY_LIMIT = 64 * 1024;

/** HTTP status by exit code (errors/thin-error.ts); what is not here is 500. */
const STATUS: Readonly<Record<number, number>> = { 2: 400, 3: 404, 4: 409, 5: 409, 6: 507, 9: 403 };

/** The control socket: HTTP with JSON bodies on a unix socket of mode 0600. */
export class SocketServer {
  readonly #http: FastifyInstance;
  readonly #path: string;
  readonly #streams = new Set<Readable>();
  readonly #connections = new Set<Socket>();
  /** Those whose request has arrived whole, and is not answered yet. */
  readonly #answering = new Set<Socket>();
  #closing = false;

  constructor(path: string, dispatcher: Dispatcher, limits: HttpLimits = HTTP_LIMITS) {
    this.#path = path;
    this.#http = Fastify({
      ...httpTimeouts(limits),
      bodyLimit: BODY_LIMIT,
      forceCloseConnections: 'idle',
      logger: false,
    });
    this.#watchConnections();
    this.#http.post<{ Params: { operation: string } }>(
      `${OPERATIONS_PATH}:operation`,
      async (request, reply) => {
        const { operation } = request.params;
        if (isTextOperationName(operation))
          return this.#stream(dispatcher.text(operation, request.body ?? {}), reply);
        if (!isOperationName(operation)) throw unknownOperation(operation);
        return this.#answer(await dispatcher.call(operation, request.body ?? {}), reply);
      },
    );
    this.#http.get('/metrics', async (_request, reply) => {
      const { text } = await dispatcher.call('metrics', {});
      return reply.type('text/plain; version=0.0.4').send(Readable.from(textPieces(text)));
    });
    this.#http.setNotFoundHandler((request) => {
      throw unknownOperation(`${request.method} ${request.url}`);
    });
    this.#http.setErrorHandler<FastifyError>((error, _request, reply) => {
      const failure = requestError(error) ?? toThinError(error);
      return reply.code(STATUS[failure.exitCode] ?? 500).send(packError(failure));
    });
  }

  /** Replaces a socket on which no daemon answers. Errors: already-running. */
  async listen(): Promise<void> {
    await refuseLive(this.#path);
    await listenPrivately(this.#path, () => this.#http.listen({ path: this.#path }));
  }

  #answer(result: unknown, reply: FastifyReply): unknown {
    if (!isLong(result)) return result;
    return reply.type('application/json; charset=utf-8').send(Readable.from(jsonPieces(result)));
  }

  #stream(pieces: AsyncIterable<string>, reply: FastifyReply): FastifyReply {
    const stream = Readable.from(encodeLines(pieces));
    this.#streams.add(stream);
    stream.once('close', () => this.#streams.delete(stream));
    return reply.type('application/x-ndjson').send(stream);
  }

  #watchConnections(): void {
    this.#http.server.on('connection', (socket: Socket) => {
      this.#connections.add(socket);
      socket.once('close', () => {
        this.#connections.delete(socket);
        this.#answering.delete(socket);
      });
    });
    this.#http.addHook('preValidation', ({ raw }, _reply, done) => {
      this.#answering.add(raw.socket);
      done();
    });
    this.#http.addHook('onResponse', ({ raw }, _reply, done) => {
      this.#answering.delete(raw.socket);
      if (this.#closing) raw.socket.end();
      done();
    });
  }

  /** Lets answers under way out, but for texts, whose readers may take for ever; then removes the socket. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const stream of this.#streams) stream.destroy();
    for (const socket of this.#connections) if (!this.#answering.has(socket)) socket.destroy();
    await this.#http.close();
    await rm(this.#path, { force: true });
  }
}

function unknownOperation(what: string): ThinError {
  return new ThinError('not-found', `the daemon knows no operation ${what}; is it of another version?`);
}

/** What Fastify itself refuses: a body that is too large, no JSON, or of another type. */
function requestError(error: FastifyError): ThinError | undefined {
  if (error instanceof ThinError) return error;
  const status = error.statusCode ?? 500;
  if (status === 413)
    return new ThinError('too-large', `the request is larger than ${BODY_LIMIT} bytes; nothing was done`);
  if (status >= 400 && status < 500)
    return new ThinError('invalid-argument', `the request is not valid: ${error.message}`);
  return undefined;
}

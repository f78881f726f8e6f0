import { randomUUID } from 'node:crypto';
import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { until } from '../async/until.js';
import { KEEP_ALIVE, type KeepAlive } from '../adapter/keep-alive.js';
import { ATTEMPT_HEADER, CALL_HEADER } from '../adapter/outlived.js';
import { listenAt, type ListenPlace } from '../host/listening.js';
import { GrpcUpstream, type GrpcAnswer } from './grpc-upstream.js';
import { askUntilAnswered, RelayedCalls, requireUnanswered, type Relay } from './relay.js';

/** gRPC's own limit for one message, and its frame. */
const MAX_REQUEST_BYTES = 4 * 2 ** 20 + 5;

/** For the answers that are still on their way to clients. */
const LAST_ANSWERS = { limitMs: 500, pollMs: 10 };

/** google.rpc.Code */
const RESOURCE_EXHAUSTED = 8;
const UNAVAILABLE = 14;

/** Of HTTP/1, or of one connection, or made anew for each. */
const NOT_PASSED_ON = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'host', 'date'],
  ...[':authority', CALL_HEADER, ATTEMPT_HEADER],
]);

/**
 * Calls of gRPC with one request and one answer, or a stream of answers that fits into memory. Requests and
 * answers are passed on as bytes. A daemon that answers UNAVAILABLE is about to end, and its successor is
 * asked.
 */
export class GrpcRelay implements Relay {
  readonly #place: ListenPlace;
  readonly #upstream: GrpcUpstream;
  readonly #keepAlive: KeepAlive;
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #calls = new RelayedCalls();

  /** @param inner the socket of each daemon */
  constructor(place: ListenPlace, inner: string, keepAlive: KeepAlive = KEEP_ALIVE) {
    this.#place = place;
    this.#upstream = new GrpcUpstream(inner);
    this.#keepAlive = keepAlive;
    this.#server = createServer({ maxSessionMemory: Number.MAX_SAFE_INTEGER });
    // A client that breaks the protocol costs its own connection.
    this.#server.on('sessionError', () => undefined);
    this.#server.on('session', (session) => this.#watch(session));
    this.#server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      void this.#serve(stream, headers).catch(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
    });
  }

  async listen(): Promise<void> {
    const { socket, descriptor } = this.#place;
    if (descriptor === undefined) await requireUnanswered(socket, 'a snapshotter');
    await listenAt(this.#server, this.#place);
  }

  async close(): Promise<void> {
    await this.#calls.close(this.#server, this.#place, async () => {
      for (const session of this.#sessions) session.close();
      await until(() => this.#sessions.size === 0, LAST_ANSWERS);
      for (const session of this.#sessions) session.destroy();
      this.#upstream.close();
    });
  }

  #watch(session: ServerHttp2Session): void {
    const { intervalMs, timeoutMs } = this.#keepAlive;
    let asked: number | undefined;
    const timer = setInterval(() => {
      if (asked !== undefined) {
        if (performance.now() - asked >= timeoutMs) session.destroy();
        return;
      }
      asked = performance.now();
      session.ping((error) => {
        if (error === null) asked = undefined;
      });
    }, intervalMs).unref();
    this.#sessions.add(session);
    session.once('close', () => {
      clearInterval(timer);
      this.#sessions.delete(session);
    });
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    return this.#calls.pass(stream, stream, MAX_REQUEST_BYTES, async (body, signal) => {
      if (body === undefined) {
        refuse(stream, RESOURCE_EXHAUSTED, 'the request is larger than 4 MiB');
        return;
      }
      const answer = await this.#answer(headers, body, signal);
      if (stream.destroyed) return;
      if (answer === undefined) refuse(stream, UNAVAILABLE, 'the daemon has ended, and no other one follows');
      else pass(answer, stream);
    });
  }

  #answer(headers: IncomingHttpHeaders, body: Buffer, signal: AbortSignal): Promise<GrpcAnswer | undefined> {
    const passed = outgoing(headers);
    const call = randomUUID();
    return askUntilAnswered<GrpcAnswer>(async (number) => {
      const marked = { ...passed, [CALL_HEADER]: call, [ATTEMPT_HEADER]: `${number}` };
      const came = await this.#upstream.ask(marked, body, signal);
      return came.answer?.status === UNAVAILABLE ? { wasSent: true } : came;
    }, signal);
  }
}

function pass({ headers, body, trailers }: GrpcAnswer, stream: ServerHttp2Stream): void {
  if (trailers === undefined) {
    stream.respond(outgoing(headers), { endStream: true });
    return;
  }
  stream.respond(outgoing(headers), { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers(outgoing(trailers)));
  stream.end(body);
}

function refuse(stream: ServerHttp2Stream, status: number, message: string): void {
  if (stream.destroyed) return;
  const headers = { ':status': 200, 'content-type': 'application/grpc+proto' };
  stream.respond(
    { ...headers, 'grpc-status': `${status}`, 'grpc-message': encodeURIComponent(message) },
    { endStream: true },
  );
}

function outgoing(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !NOT_PASSED_ON.has(name)));
}

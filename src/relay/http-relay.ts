import { randomUUID } from 'node:crypto';
import {
  createServer,
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect } from 'node:net';
import { HTTP_LIMITS } from '../adapter/http-limits.js';
import { ATTEMPT_HEADER, CALL_HEADER } from '../adapter/outlived.js';
import { listenAt, type ListenPlace } from '../host/listening.js';
import { askUntilAnswered, RelayedCalls, requireUnanswered, type Attempt, type Relay } from './relay.js';

/** A name and a few options. */
const MAX_REQUEST_BYTES = 64 * 1024;

/** Of a daemon that takes no more work. */
const UNAVAILABLE = 503;

interface HowToListen {
  /** Who answers there, with its article. */
  readonly who: string;
  /** Makes the socket's folder, where that is not the user's own. */
  readonly prepare: () => Promise<void>;
}

interface HttpRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface HttpAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: Buffer;
}

/** Calls of HTTP/1 whose requests and answers are small, as those of Docker's plugins. */
export class HttpRelay implements Relay {
  readonly #place: ListenPlace;
  readonly #inner: string;
  readonly #how: HowToListen;
  readonly #server: Server;
  readonly #calls = new RelayedCalls();

  /** @param inner the socket of each daemon */
  constructor(place: ListenPlace, inner: string, how: HowToListen) {
    this.#place = place;
    this.#inner = inner;
    this.#how = how;
    const { requestMs, keepAliveMs } = HTTP_LIMITS;
    this.#server = createServer(
      { requestTimeout: requestMs, headersTimeout: requestMs, keepAliveTimeout: keepAliveMs },
      (incoming, response) => {
        response.on('error', () => undefined);
        void this.#serve(incoming, response).catch(() => response.destroy());
      },
    );
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  async listen(): Promise<void> {
    const { socket, descriptor } = this.#place;
    if (descriptor === undefined) await requireUnanswered(socket, this.#how.who);
    await this.#how.prepare();
    await listenAt(this.#server, this.#place);
  }

  async close(): Promise<void> {
    await this.#calls.close(this.#server, this.#place, () => this.#server.closeAllConnections());
  }

  #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url = '/', headers } = incoming;
    return this.#calls.pass(incoming, response, MAX_REQUEST_BYTES, async (body, signal) => {
      send(
        response,
        body === undefined
          ? refusal(413, `the request is larger than ${MAX_REQUEST_BYTES} bytes`)
          : await this.#answer({ method, url, headers, body }, signal),
      );
    });
  }

  async #answer(asked: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    const call = randomUUID();
    const answer = await askUntilAnswered<HttpAnswer>(async (number) => {
      const headers = { ...asked.headers, [CALL_HEADER]: call, [ATTEMPT_HEADER]: `${number}` };
      const came = await ask(this.#inner, { ...asked, headers }, signal);
      return came.answer?.status === UNAVAILABLE ? { wasSent: true } : came;
    }, signal);
    return answer ?? refusal(UNAVAILABLE, 'the daemon has ended, and no other one follows');
  }
}

/** Never rejects. */
function ask(
  socket: string,
  { method, url, headers, body }: HttpRequest,
  signal: AbortSignal,
): Promise<Attempt<HttpAnswer>> {
  return new Promise((resolve) => {
    let wasSent = false;
    const outgoing = request({
      createConnection: () => connect(socket).once('connect', () => (wasSent = true)),
      ...{ method, path: url, signal },
      headers: { ...headers, connection: 'close', 'content-length': body.length },
    });
    outgoing.once('error', () => resolve({ wasSent }));
    outgoing.once('response', (incoming) => {
      incoming.toArray().then(
        (pieces: Buffer[]) =>
          resolve({
            answer: {
              status: incoming.statusCode ?? 500,
              type: incoming.headers['content-type'] ?? 'application/json',
              body: Buffer.concat(pieces),
            },
          }),
        () => resolve({ wasSent }),
      );
    });
    outgoing.end(body);
  });
}

function refusal(status: number, message: string): HttpAnswer {
  return { status, type: 'application/json', body: Buffer.from(JSON.stringify({ Err: message })) };
}

function send(response: ServerResponse, { status, type, body }: HttpAnswer): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'content-type': type, 'content-length': body.length }).end(body);
}

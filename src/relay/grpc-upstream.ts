import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect } from 'node:net';
import type { Attempt } from './relay.js';

/** A whole answer of a daemon's. */
export interface GrpcAnswer {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Undefined: the headers say how the call ended, and there is no body. */
  readonly trailers: IncomingHttpHeaders | undefined;
  /** google.rpc.Code */
  readonly status: number;
}

/** The daemon that serves on a socket, whichever that is now. */
export class GrpcUpstream {
  readonly #socket: string;
  #session: ClientHttp2Session | undefined;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** Never rejects. `signal`: the caller does not wait any more. */
  async ask(headers: OutgoingHttpHeaders, body: Buffer, signal: AbortSignal): Promise<Attempt<GrpcAnswer>> {
    const session = this.#connected();
    await connected(session);
    if (session.destroyed || session.closed) return { wasSent: false };
    return new Promise((resolve) => {
      const stream = session.request(headers);
      const pieces: Buffer[] = [];
      let head: IncomingHttpHeaders | undefined;
      let trailers: IncomingHttpHeaders | undefined;
      let isWhole = false;
      const cancel = (): void => stream.close(constants.NGHTTP2_CANCEL);
      signal.addEventListener('abort', cancel, { once: true });
      stream.on('error', () => undefined);
      stream.on('response', (given: IncomingHttpHeaders) => (head = given));
      stream.on('trailers', (given: IncomingHttpHeaders) => (trailers = given));
      stream.on('data', (piece: Buffer) => pieces.push(piece));
      stream.on('end', () => (isWhole = true));
      stream.on('close', () => {
        signal.removeEventListener('abort', cancel);
        const status = (trailers ?? head)?.['grpc-status'];
        if (head === undefined || !isWhole || typeof status !== 'string') resolve({ wasSent: true });
        else
          resolve({
            answer: { headers: head, body: Buffer.concat(pieces), trailers, status: Number(status) },
          });
      });
      stream.end(body);
    });
  }

  close(): void {
    this.#session?.destroy();
  }

  #connected(): ClientHttp2Session {
    const usable = this.#session;
    if (usable !== undefined && !usable.closed && !usable.destroyed) return usable;
    const session = connectHttp2('http://localhost', {
      createConnection: () => connect(this.#socket),
      maxSessionMemory: Number.MAX_SAFE_INTEGER,
    });
    // Its streams end too.
    session.on('error', () => undefined);
    this.#session = session;
    return session;
  }
}

async function connected(session: ClientHttp2Session): Promise<void> {
  if (!session.connecting) return;
  await new Promise<void>((resolve) => {
    session.once('connect', () => resolve());
    session.once('close', () => resolve());
  });
}

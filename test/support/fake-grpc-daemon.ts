import { rmSync } from 'node:fs';
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';

/** An empty message in gRPC's frame. */
const EMPTY = Buffer.alloc(5);

/** Answers calls of gRPC as a test says, and dies when it says so. */
export class FakeGrpcDaemon {
  readonly #server: Http2Server;
  readonly #sessions = new Set<ServerHttp2Session>();

  private constructor(server: Http2Server) {
    this.#server = server;
    server.on('session', (session) => {
      this.#sessions.add(session);
      session.on('error', () => undefined);
    });
  }

  static async start(
    socket: string,
    answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, daemon: FakeGrpcDaemon) => void,
  ): Promise<FakeGrpcDaemon> {
    rmSync(socket, { force: true });
    const server = createServer();
    const daemon = new FakeGrpcDaemon(server);
    server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      stream.resume().once('end', () => answer(stream, headers, daemon));
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    return daemon;
  }

  die(): void {
    this.#server.close();
    for (const session of this.#sessions) session.destroy();
  }
}

/** With an empty message. */
export function succeed(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(EMPTY);
}

export function fail(stream: ServerHttp2Stream, status: number): void {
  stream.respond(
    { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': `${status}`, 'grpc-message': 'no' },
    { endStream: true },
  );
}

import { readFile } from 'node:fs/promises';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { run } from './mounts.js';

/** What a store says to a request that it does not let through. */
export interface Refusal {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/**
 * TLS in front of a store that speaks plain HTTP, with a certificate of an authority of its own: lets
 * requests through, or answers them itself.
 */
export class GuardedFront {
  /** PEM, of the authority. */
  readonly ca: string;
  /** Requests that were let through. */
  passed = 0;
  answers: (request: IncomingMessage) => Refusal | undefined = () => undefined;
  readonly #server: https.Server;

  private constructor(ca: string, pem: { readonly key: string; readonly cert: string }, inner: number) {
    this.ca = ca;
    this.#server = https.createServer(pem, (request, response) => {
      const refusal = this.answers(request);
      if (refusal !== undefined) {
        request.resume();
        response.writeHead(refusal.status, refusal.headers).end(refusal.body);
        return;
      }
      this.passed++;
      const { method, url, headers } = request;
      const passed = http.request(
        { port: inner, host: '127.0.0.1', method, path: url, headers },
        (answer) => {
          response.writeHead(answer.statusCode ?? 0, answer.headers);
          answer.pipe(response);
        },
      );
      passed.on('error', () => response.destroy());
      request.pipe(passed);
    });
  }

  /** @param folder for its key and certificate */
  static async open(folder: string, inner: number): Promise<GuardedFront> {
    const [key, cert] = [`${folder}/front.key`, `${folder}/front.crt`];
    await run('openssl', [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, '-days', '2'],
      ...['-subj', '/CN=front', '-addext', 'subjectAltName=IP:0.0.0.0'],
    ]);
    const pem = { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
    const front = new GuardedFront(cert, pem, inner);
    await new Promise<void>((resolve) => front.#server.listen(0, '127.0.0.1', resolve));
    return front;
  }

  /** This host by a name for which registries are not taken to speak plain HTTP. */
  get host(): string {
    const address = this.#server.address();
    return `0.0.0.0:${typeof address === 'object' && address !== null ? address.port : 0}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

import type { IncomingMessage } from 'node:http';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { Caller, OperationName, Operations, TextOperationName, TextOperations } from './operations.js';
import { decodeLines } from './text-lines.js';
import { OPERATIONS_PATH, unpackError } from './wire.js';

/**
 * Calls a daemon over its control socket. No deadline unless given: mkfs and unmounting take the time they
 * take.
 */
export class SocketClient implements Caller {
  readonly #socket: string;
  readonly #timeoutMs: number;

  constructor(socket: string, options: { timeoutMs?: number } = {}) {
    this.#socket = socket;
    this.#timeoutMs = options.timeoutMs ?? 0;
  }

  /**
   * @throws ThinError as the daemon threw it; `not-running` if no daemon listens; `closed` if the daemon
   *   went away before it answered.
   */
  async call<K extends OperationName>(
    name: K,
    input: Operations[K]['input'],
  ): Promise<Operations[K]['output']> {
    const { status, body } = await this.#post(`${OPERATIONS_PATH}${name}`, JSON.stringify(input));
    const answer = parseAnswer(body);
    if (status !== 200) throw unpackError(answer);
    // The serving side is the same program, and its handlers are typed by the same table.
    return answer as Operations[K]['output'];
  }

  async *text<K extends TextOperationName>(
    name: K,
    input: TextOperations[K]['input'],
  ): AsyncGenerator<string> {
    const answer = await this.#send(`${OPERATIONS_PATH}${name}`, JSON.stringify(input));
    if (answer.statusCode !== 200) {
      const pieces = (await answer.toArray()) as Buffer[];
      throw unpackError(parseAnswer(Buffer.concat(pieces).toString()));
    }
    try {
      yield* decodeLines(answer as AsyncIterable<Uint8Array>);
    } catch (error) {
      throw error instanceof ThinError ? error : this.#connectionError(error as Error);
    } finally {
      answer.destroy();
    }
  }

  async #post(path: string, body: string): Promise<{ status: number; body: string }> {
    const incoming = await this.#send(path, body);
    try {
      const pieces = (await incoming.toArray()) as Buffer[];
      return { status: incoming.statusCode ?? 500, body: Buffer.concat(pieces).toString() };
    } catch (error) {
      throw this.#connectionError(error as Error);
    }
  }

  async #send(path: string, body: string): Promise<IncomingMessage> {
    // Loaded here: commands that need no daemon begin in less time without them.
    const [{ request }, { connect }] = await Promise.all([import('node:http'), import('node:net')]);
    return new Promise((resolve, reject) => {
      const outgoing = request({
        // Without an agent, which would look whether `localhost` is an address of IPv6, with a large
        // expression.
        createConnection: () => connect(this.#socket),
        path,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      });
      outgoing.once('error', (error) => reject(this.#connectionError(error)));
      outgoing.once('response', resolve);
      outgoing.setTimeout(this.#timeoutMs, () => outgoing.destroy(new Error('it did not answer in time')));
      outgoing.end(body);
    });
  }

  #connectionError(error: Error): ThinError {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ECONNREFUSED')
      return new ThinError(
        'not-running',
        `no daemon answers on ${this.#socket}; start it with: thinfuse start`,
        { cause: error },
      );
    if (code === 'EACCES' || code === 'EPERM')
      return new ThinError(
        'permission',
        `the control socket ${this.#socket} belongs to root; run this as root`,
        {
          cause: error,
        },
      );
    return new ThinError(
      'closed',
      `the daemon on ${this.#socket} went away before it answered: ${error.message}`,
      {
        cause: error,
      },
    );
  }
}

function parseAnswer(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

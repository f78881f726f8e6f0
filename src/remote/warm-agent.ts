import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';

/** Milliseconds after which unused connections are closed. */
const UNUSED = 30_000;

/** Connections that were opened before there is a request for them, and where they lead. */
class Stock {
  /** More that the next connection of a request brings along. */
  wanted = 0;
  #sockets: { readonly to: string; readonly socket: Duplex }[] = [];
  readonly #drop = (): void => {
    this.#sockets = this.#sockets.filter(({ socket }) => !socket.destroyed && socket.writable);
  };

  add(to: string, socket: Duplex): void {
    this.#sockets.push({ to, socket });
    for (const event of ['error', 'end', 'close']) socket.on(event, this.#drop);
    refTo(socket, false);
    setTimeout(() => {
      if (this.#sockets.some((other) => other.socket === socket)) socket.destroy();
    }, UNUSED).unref();
  }

  /** The one that was opened first, if there is one. */
  take(to: string): Duplex | undefined {
    this.#drop();
    const at = this.#sockets.findIndex((other) => other.to === to);
    const [found] = at < 0 ? [] : this.#sockets.splice(at, 1);
    if (found === undefined) return undefined;
    const { socket } = found;
    // The listener for errors stays: one may be on its way.
    for (const event of ['end', 'close']) socket.off(event, this.#drop);
    refTo(socket, true);
    return socket;
  }

  close(): void {
    for (const { socket } of this.#sockets) socket.destroy();
  }
}

type Connect = (
  ...args: Parameters<http.Agent['createConnection']>
) => ReturnType<http.Agent['createConnection']>;

function connected(stock: Stock, connect: Connect, ...args: Parameters<Connect>): ReturnType<Connect> {
  const { host, port } = args[0];
  const to = `${host}:${port}`;
  const taken = stock.take(to);
  if (taken !== undefined) return taken;
  const { wanted } = stock;
  stock.wanted = 0;
  for (let more = wanted; more > 0; more--) {
    const socket = connect(args[0]);
    if (socket != null) stock.add(to, socket);
  }
  return connect(...args);
}

/** Keeps connections, and opens several at once where that is wanted: each handshake is a round trip. */
export interface WarmAgent extends http.Agent {
  readonly stock: Stock;
}

function warm(Agent: typeof http.Agent): new (options: http.AgentOptions) => WarmAgent {
  return class extends Agent {
    readonly stock = new Stock();

    override createConnection(...args: Parameters<Connect>): ReturnType<Connect> {
      return connected(this.stock, (...each) => super.createConnection(...each), ...args);
    }

    override destroy(): void {
      this.stock.close();
      super.destroy();
    }
  };
}

export const WarmHttpAgent = warm(http.Agent);
export const WarmHttpsAgent = warm(https.Agent);

function refTo(socket: Duplex, isRef: boolean): void {
  const { ref, unref } = socket as Partial<Pick<NodeJS.Process['stdin'], 'ref' | 'unref'>>;
  (isRef ? ref : unref)?.call(socket as never);
}

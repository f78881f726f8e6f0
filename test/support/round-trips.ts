import net from 'node:net';

/** Milliseconds without a byte after which everybody has said what he can say without an answer. */
const QUIET = 300;

interface Connection {
  isOpen: boolean;
  held: Buffer[];
  readonly server: net.Socket;
}

/**
 * A way to a store on which time is counted in round trips: what clients say is kept until nobody says
 * anything more, and then goes on together, which is one. A new connection takes one before its first word.
 * What nobody waits for is not counted: that a pull takes its first note away.
 */
export class RoundTrips {
  count = 0;
  readonly #to: { readonly host: string; readonly port: number };
  readonly #connections = new Set<Connection>();
  readonly #sockets = new Set<net.Socket>();
  readonly #listener: net.Server;
  #timer: NodeJS.Timeout | undefined;

  constructor(to: { readonly host: string; readonly port: number }) {
    this.#to = to;
    this.#listener = net.createServer((client) => {
      this.#accept(client);
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#listener.listen(0, '127.0.0.1', resolve));
    const address = this.#listener.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const socket of this.#sockets) socket.destroy();
    this.#listener.close();
  }

  #accept(client: net.Socket): void {
    const server = net.connect(this.#to);
    const connection: Connection = { isOpen: false, held: [], server };
    this.#connections.add(connection);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        this.#connections.delete(connection);
        other.destroy();
      });
    }
    client.on('data', (piece) => {
      connection.held.push(piece);
      this.#wait();
    });
    server.on('data', (piece) => {
      client.write(piece);
      this.#wait();
    });
    this.#wait();
  }

  #wait(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#goOn();
    }, QUIET);
  }

  #goOn(): void {
    const waiting = [...this.#connections].filter(({ isOpen, held }) => !isOpen || held.length > 0);
    if (waiting.length === 0) return;
    if (waiting.some(isAwaited)) this.count++;
    for (const connection of waiting) {
      if (connection.isOpen) for (const piece of connection.held.splice(0)) connection.server.write(piece);
      connection.isOpen = true;
    }
    this.#wait();
  }
}

function isAwaited({ isOpen, held }: Connection): boolean {
  return !isOpen || !/^DELETE \S+\/notes\/pull\/-/.test(Buffer.concat(held).toString('latin1'));
}

/**
 * A link with a round trip of its own between clients and a store, for kernels without netem: bytes of either
 * side arrive half a round trip later, in any number, and the first ones of a connection as if its handshake
 * had taken one. In the store's namespace:
 *
 *     node --import tsx scripts/remote/slow-link.ts LISTEN-ADDRESS:PORT STORE-ADDRESS:PORT MILLISECONDS [LOG]
 *
 * LOG gets a line when it listens, and then one for each handshake and each request with its answer: when it
 * began and ended, as the client saw it, in milliseconds. What a pull does not wait for is left out.
 */
import { appendFileSync } from 'node:fs';
import net from 'node:net';

/** Bytes on their way on one connection; beyond it the sender waits. */
const MOST = 32 * 2 ** 20;

/** Requests of a connection, one after the other. */
class Spans {
  readonly #half: number;
  readonly #log: string | undefined;
  #begin: number | undefined;
  #end = 0;

  constructor(half: number, log: string | undefined) {
    this.#half = half;
    this.#log = log;
    this.#write(performance.now(), performance.now() + 2 * half);
  }

  asked(piece: Buffer): void {
    // Nobody waits for this one.
    if (/^DELETE \S+\/notes\/pull\/-/.test(piece.subarray(0, 512).toString('latin1'))) return;
    const now = performance.now();
    if (this.#begin !== undefined && this.#end > this.#begin) this.finish();
    this.#begin ??= now;
  }

  answered(): void {
    this.#end = performance.now() + this.#half;
  }

  finish(): void {
    if (this.#begin !== undefined && this.#end > this.#begin) this.#write(this.#begin, this.#end);
    this.#begin = undefined;
  }

  #write(begin: number, end: number): void {
    if (this.#log !== undefined) appendFileSync(this.#log, `${begin.toFixed(1)} ${end.toFixed(1)}\n`);
  }
}

function delayed(
  { from, to, half, first = 0 }: { from: net.Socket; to: net.Socket; half: number; first?: number },
  onData: (piece: Buffer) => void,
): void {
  let queued = 0;
  const later = (work: () => void): void => {
    setTimeout(work, Math.max(0, first - performance.now()) + half);
  };
  from.on('data', (piece: Buffer) => {
    onData(piece);
    queued += piece.length;
    if (queued > MOST) from.pause();
    later(() => {
      queued -= piece.length;
      if (!to.destroyed) to.write(piece);
      if (queued <= MOST) from.resume();
    });
  });
  from.on('end', () => {
    later(() => to.end());
  });
  from.on('error', () => to.destroy());
  from.on('close', () => {
    later(() => to.destroy());
  });
}

function place(text: string): { host: string; port: number } {
  const at = text.lastIndexOf(':');
  return { host: text.slice(0, at), port: Number(text.slice(at + 1)) };
}

const [listen = '', store = '', roundTrip = '', log] = process.argv.slice(2);
const half = Number(roundTrip) / 2;
net
  .createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    const server = net.connect({ ...place(store), noDelay: true, allowHalfOpen: true });
    const spans = new Spans(half, log);
    delayed({ from: client, to: server, half, first: performance.now() + 2 * half }, (piece) => {
      spans.asked(piece);
    });
    delayed({ from: server, to: client, half }, () => {
      spans.answered();
    });
    client.on('close', () => {
      spans.finish();
    });
  })
  .listen(place(listen), () => {
    if (log !== undefined) appendFileSync(log, 'listens\n');
  });

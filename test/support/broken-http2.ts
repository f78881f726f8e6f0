import { connect, type Socket } from 'node:net';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** RFC 9113, 4.1. */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const hello = Buffer.concat([PREFACE, frame(4, 0, 0, Buffer.alloc(0))]);
/** What clients that break the protocol send. */
export const BROKEN: Readonly<Record<string, Buffer>> = {
  nothing: Buffer.alloc(0),
  'half a preface': PREFACE.subarray(0, 10),
  'HTTP/1.1': Buffer.from('GET / HTTP/1.1\r\n\r\n'),
  'a PING of a wrong size': Buffer.concat([hello, frame(6, 0, 0, Buffer.alloc(5))]),
  'HEADERS without an end': Buffer.concat([hello, frame(1, 0, 1, Buffer.from([0x82]))]),
  'HEADERS that cannot be unpacked': Buffer.concat([hello, frame(1, 4, 1, Buffer.alloc(6, 0xff))]),
  'DATA of no stream': Buffer.concat([hello, frame(0, 0, 1, Buffer.from('data'))]),
};
/** Sends `bytes`, and stays unless `leave` ends it. */
export function broken(
  path: string,
  bytes: Buffer,
  leave: ((one: Socket) => void) | undefined,
): Promise<Socket> {
  return new Promise((resolve) => {
    const one = connect(path, () => {
      one.write(bytes, () => {
        leave?.(one);
        resolve(one);
      });
    });
    one.on('error', () => undefined).resume();
  });
}

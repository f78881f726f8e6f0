import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Dispatcher, type Handlers } from '../../src/daemon/dispatcher.js';
import type { HttpLimits } from '../../src/adapter/http-limits.js';
import { metricsAdapter } from '../../src/daemon/metrics-server.js';
import type { TextHandlers } from '../../src/daemon/operations/text-operations.js';
import type { ServedPool } from '../../src/service/pool-service.js';
import { SocketServer } from '../../src/daemon/socket-server.js';
import { VolumeServer } from '../../src/volumes/volume-server.js';
import type { Volumes } from '../../src/volumes/volumes.js';
import { silentCalls } from '../support/silent-calls.js';
import { useScratch } from '../support/mounts.js';

const SHORT: HttpLimits = { requestMs: 200, keepAliveMs: 200 };
const NEVER: HttpLimits = { requestMs: 3_600_000, keepAliveMs: 3_600_000 };
const LONG_ANSWER_MS = 5 * SHORT.requestMs;

interface Server {
  listen(): Promise<void>;
  close(): Promise<void>;
}

describe('a client that sends half a request', () => {
  const scratch = useScratch();
  const open: Socket[] = [];
  let count = 0;
  let socketPath: string;

  beforeEach(() => {
    socketPath = scratch.current.at(`slow${count++}.sock`);
  });
  afterEach(() => {
    for (const socket of open.splice(0)) socket.destroy();
  });

  const half = async (to: NetConnectOpts, target: string): Promise<Socket> => {
    const socket = connect(to);
    open.push(socket);
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    const head = `POST ${target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n`;
    await new Promise<unknown>((resolve) => socket.write(`${head}{"name"`, resolve));
    return socket;
  };
  const ended = async (socket: Socket): Promise<void> => {
    socket.resume();
    // A reset is an end, too.
    if (!socket.destroyed) await new Promise((resolve) => socket.once('close', resolve));
  };
  const answer = (target: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const asked = request(
        { socketPath, path: target, method: 'POST', headers, agent: false },
        (incoming) => {
          let text = '';
          incoming.setEncoding('utf8').on('data', (piece: string) => (text += piece));
          incoming.once('end', () => {
            resolve(text);
          });
        },
      );
      asked.once('error', reject);
      asked.end('{}');
    });
  const slowly = async <T>(value: T): Promise<T> => {
    await sleep(LONG_ANSWER_MS);
    return value;
  };

  const control = (limits: HttpLimits): Server => {
    const handlers = { info: () => slowly({ slow: true }) } as unknown as Handlers;
    return new SocketServer(socketPath, new Dispatcher(handlers, {} as TextHandlers), limits);
  };
  const listeningThere = (server: VolumeServer): Server => ({
    listen: () => server.listen({ socket: socketPath }),
    close: () => server.close(),
  });
  const volumes = (limits: HttpLimits): Server =>
    listeningThere(
      new VolumeServer({
        volumes: { list: () => slowly([]) } as unknown as Volumes,
        calls: silentCalls(),
        limits,
      }),
    );

  for (const [what, make, target] of [
    ['the control socket', control, '/v1/info'],
    ['the volume plugin', volumes, '/VolumeDriver.List'],
  ] as const) {
    it(`is let go of by ${what}, which takes its time for an answer`, async () => {
      const server = make(SHORT);
      await server.listen();
      await Promise.all([
        half({ path: socketPath }, target).then(ended),
        answer(target).then((text) => {
          assert.doesNotMatch(text, /timeout/i);
        }),
      ]);
      await server.close();
    });

    it(`does not hold up the end of ${what}`, async () => {
      const server = make(NEVER);
      await server.listen();
      const socket = await half({ path: socketPath }, target);
      // Answered behind it: the server has seen the first one's half by then.
      await answer(target);
      await Promise.all([server.close(), ended(socket)]);
    });
  }

  it('is let go of by the port for metrics, and does not hold up its end', async () => {
    for (const limits of [SHORT, NEVER]) {
      let port = 0;
      const make = metricsAdapter(
        { host: '127.0.0.1', port: 0 },
        (url) => {
          port = Number(new URL(url).port);
        },
        limits,
      );
      const adapter = make({} as unknown as ServedPool, {
        contentType: 'text/plain',
        pieces: () => Readable.from(['']),
      });
      await adapter.listen();
      const socket = await half({ host: '127.0.0.1', port }, '/metrics');
      if (limits === SHORT) await ended(socket);
      await Promise.all([adapter.close(), ended(socket)]);
    }
  });
});

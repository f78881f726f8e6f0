import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { createServer, request, type RequestListener, type Server } from 'node:http';
import { HttpRelay } from '../../src/relay/http-relay.js';
import { eventually } from '../support/eventually.js';
import { useScratch } from '../support/mounts.js';

interface Answer {
  readonly status: number;
  readonly text: string;
}

describe('a relay of a plugin protocol', () => {
  const scratch = useScratch();
  let socketPath = '';
  let inner = '';
  let relay: HttpRelay;
  const daemons = new Set<Server>();

  const call = (text = '{}'): Promise<Answer> =>
    new Promise((resolve, reject) => {
      request({ socketPath, path: '/VolumeDriver.Remove', method: 'POST' }, (incoming) => {
        incoming.toArray().then((pieces: Buffer[]) => {
          resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(pieces).toString() });
        }, reject);
      })
        .once('error', reject)
        .end(text);
    });
  const serve = async (answer: RequestListener): Promise<Server> => {
    rmSync(inner, { force: true });
    const server = createServer((incoming, response) => {
      incoming.resume().once('end', () => answer(incoming, response));
    });
    daemons.add(server);
    await new Promise<void>((resolve) => server.listen(inner, resolve));
    return server;
  };
  const die = (server: Server): void => {
    server.close();
    server.closeAllConnections();
    daemons.delete(server);
  };

  beforeEach(async () => {
    socketPath = scratch.current.at('outer.sock');
    inner = scratch.current.at('inner.sock');
    relay = new HttpRelay({ socket: socketPath }, inner, {
      who: 'a volume plugin',
      prepare: () => Promise.resolve(),
    });
    await relay.listen();
  });
  afterEach(async () => {
    await relay.close();
    for (const daemon of daemons) die(daemon);
  });

  it('has calls wait until there is a daemon, and passes on its answer', async () => {
    const waiting = call();
    await serve((_incoming, response) => response.writeHead(400).end('{"Err":"no"}'));
    assert.deepEqual(await waiting, { status: 400, text: '{"Err":"no"}' });
  });

  it('asks the next daemon where one died or takes no more work', async () => {
    const attempts: unknown[] = [];
    const first = await serve((incoming) => {
      attempts.push(incoming.headers['thinfuse-attempt']);
      die(first);
    });
    const waiting = call();
    await eventually('the first one is dead', () => attempts.length === 1);
    await serve((incoming, response) => {
      attempts.push(incoming.headers['thinfuse-attempt']);
      if (attempts.length === 2) response.writeHead(503).end('{"Err":"closed"}');
      else response.end('{"Err":""}');
    });
    assert.deepEqual(await waiting, { status: 200, text: '{"Err":""}' });
    assert.deepEqual(attempts, ['1', '2', '3']);
  });

  it('turns calls away when no daemon follows, and its socket goes', async () => {
    let asked = 0;
    await serve(() => asked++);
    const waiting = call();
    await eventually('it is under way', () => asked === 1);
    await relay.close();
    assert.equal((await waiting).status, 503);
    assert.equal(existsSync(socketPath), false);
  });

  it('refuses a request that is too large', async () => {
    assert.equal((await call('x'.repeat(65 * 1024))).status, 413);
  });
});

import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import { STATUS } from '../../src/containerd/status.js';
import { GrpcRelay } from '../../src/relay/grpc-relay.js';
import { BROKEN, broken } from '../support/broken-http2.js';
import { eventually } from '../support/eventually.js';
import { FakeGrpcDaemon, fail, succeed } from '../support/fake-grpc-daemon.js';
import { useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

const { NOT_FOUND, UNAVAILABLE, RESOURCE_EXHAUSTED } = STATUS;

const marks = (headers: IncomingHttpHeaders): unknown[] => [
  headers['thinfuse-call'],
  headers['thinfuse-attempt'],
];

describe('a relay of gRPC', () => {
  const scratch = useScratch();
  let socket = '';
  let inner = '';
  let relay: GrpcRelay;
  let client: SnapshotClient;
  let daemon: FakeGrpcDaemon | undefined;

  beforeEach(async () => {
    socket = scratch.current.at('outer.sock');
    inner = scratch.current.at('inner.sock');
    relay = new GrpcRelay({ socket }, inner, { intervalMs: 200, timeoutMs: 1000 });
    await relay.listen();
    client = new SnapshotClient(socket);
  });
  afterEach(async () => {
    client.close();
    await relay.close();
    daemon?.die();
    daemon = undefined;
  });

  it('has a socket of root alone, which goes with it', async () => {
    assert.equal((await stat(socket)).mode & 0o777, 0o600);
    await assert.rejects(new GrpcRelay({ socket }, inner).listen(), { code: 'already-running' });
    await relay.close();
    assert.equal(existsSync(socket), false);
  });

  it('passes on what a daemon answers, also a failure', async () => {
    daemon = await FakeGrpcDaemon.start(inner, (stream, headers) => {
      if (headers[':path']?.endsWith('/Remove') === true) succeed(stream);
      else fail(stream, NOT_FOUND);
    });
    await client.remove('a');
    await assert.rejects(client.stat('a'), { code: NOT_FOUND, details: 'no' });
  });

  it('has calls wait until there is a daemon', async () => {
    const waiting = [client.remove('a'), client.remove('b'), client.list()];
    daemon = await FakeGrpcDaemon.start(inner, succeed);
    await Promise.all(waiting);
  });

  it('asks the next daemon again where one died before it answered, and says so', async () => {
    const seen: unknown[] = [];
    const dies = (_stream: unknown, headers: IncomingHttpHeaders, one: FakeGrpcDaemon): void => {
      seen.push(marks(headers));
      one.die();
    };
    await FakeGrpcDaemon.start(inner, dies);
    const call = client.remove('a');
    await eventually('the first one is dead', () => seen.length === 1);
    await FakeGrpcDaemon.start(inner, dies);
    await eventually('the second one is dead', () => seen.length === 2);
    daemon = await FakeGrpcDaemon.start(inner, (stream, headers) => {
      seen.push(marks(headers));
      succeed(stream);
    });
    await call;
    const [[id]] = seen as [[string]];
    assert.deepEqual(seen, [
      [id, '1'],
      [id, '2'],
      [id, '3'],
    ]);
    await client.remove('a');
    assert.notEqual((seen[3] as [string])[0], id);
    assert.equal((seen[3] as [string, string])[1], '1');
  });

  it('asks again where only half of an answer came', async () => {
    let half = 0;
    await FakeGrpcDaemon.start(inner, (stream, _headers, one) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.write(Buffer.alloc(3), () => {
        half++;
        one.die();
      });
    });
    const call = client.remove('a');
    await eventually('half an answer has gone', () => half === 1);
    daemon = await FakeGrpcDaemon.start(inner, succeed);
    await call;
  });

  it('asks again a daemon that takes no more work', async () => {
    let asked = 0;
    daemon = await FakeGrpcDaemon.start(inner, (stream) => {
      if (++asked < 3) fail(stream, UNAVAILABLE);
      else succeed(stream);
    });
    await client.remove('a');
    assert.equal(asked, 3);
  });

  it('turns calls away when no daemon follows', async () => {
    let asked = 0;
    daemon = await FakeGrpcDaemon.start(inner, () => asked++);
    const calls = [client.remove('a'), client.remove('b')].map(async (call) =>
      assert.rejects(call, { code: UNAVAILABLE }),
    );
    await eventually('they are under way', () => asked === 2);
    await relay.close();
    await Promise.all(calls);
  });

  it('tells the daemon when a client gives up', async () => {
    let cancelled = false;
    let asked = false;
    daemon = await FakeGrpcDaemon.start(inner, (stream) => {
      asked = true;
      stream.once('close', () => (cancelled = true));
    });
    const call = assert.rejects(client.remove('a'));
    await eventually('the daemon has it', () => asked);
    client.close();
    await Promise.all([call, eventually('the daemon hears of it', () => cancelled)]);
  });

  it('refuses a request that is too large', async () => {
    daemon = await FakeGrpcDaemon.start(inner, succeed);
    await assert.rejects(client.raw('Remove', Buffer.alloc(4 * 2 ** 20 + 100)), { code: RESOURCE_EXHAUSTED });
    await client.remove('a');
  });

  it('keeps no descriptor for clients that break the protocol or say nothing', async () => {
    daemon = await FakeGrpcDaemon.start(inner, succeed);
    await client.remove('a');
    const before = readdirSync('/proc/self/fd').length;
    const staying = new Set<Socket>();
    for (const bytes of Object.values(BROKEN))
      for (const leave of [(one: Socket) => one.end(), (one: Socket) => one.destroy(), undefined])
        staying.add(await broken(socket, bytes, leave));
    await eventually('every descriptor is back', () => readdirSync('/proc/self/fd').length <= before);
    assert.deepEqual(
      [...staying].filter(({ destroyed }) => !destroyed),
      [],
    );
    await client.remove('a');
  });
});

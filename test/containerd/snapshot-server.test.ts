import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { SnapshotBases } from '../../src/containerd/snapshot-bases.js';
import { SnapshotIndex } from '../../src/containerd/snapshot-index.js';
import { SnapshotMounts } from '../../src/containerd/snapshot-mounts.js';
import { SnapshotServer } from '../../src/containerd/snapshot-server.js';
import { Snapshotters } from '../../src/containerd/snapshotters.js';
import type { ServedPool } from '../../src/service/pool-service.js';
import { eventually } from '../support/eventually.js';
import { FakePool } from '../support/fake-pool.js';
import { silentCalls } from '../support/silent-calls.js';
import { useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

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
const BROKEN: Readonly<Record<string, Buffer>> = {
  nothing: Buffer.alloc(0),
  'half a preface': PREFACE.subarray(0, 10),
  'HTTP/1.1': Buffer.from('GET / HTTP/1.1\r\n\r\n'),
  'a PING of a wrong size': Buffer.concat([hello, frame(6, 0, 0, Buffer.alloc(5))]),
  'HEADERS without an end': Buffer.concat([hello, frame(1, 0, 1, Buffer.from([0x82]))]),
  'HEADERS that cannot be unpacked': Buffer.concat([hello, frame(1, 4, 1, Buffer.alloc(6, 0xff))]),
  'DATA of no stream': Buffer.concat([hello, frame(0, 0, 1, Buffer.from('data'))]),
};
const EACH = 5;

describe('the server of snapshots', () => {
  const scratch = useScratch();

  it('keeps no descriptor for clients that break the protocol or say nothing, whether they leave or stay', async () => {
    const socket = scratch.current.at('snapshotter.sock');
    const pool = new FakePool();
    const served = { pool } as unknown as ServedPool;
    const [index, mounts, bases] = [
      new SnapshotIndex(pool),
      new SnapshotMounts(served),
      new SnapshotBases(served),
    ];
    const server = new SnapshotServer({
      settings: { socket, mounts: 'bind' },
      snapshotters: new Snapshotters(served, index, mounts, bases),
      calls: silentCalls(),
      keepAlive: { intervalMs: 200, timeoutMs: 1000 },
    });
    await server.listen();
    const client = new SnapshotClient(socket);
    try {
      assert.deepEqual(await client.list(), []);
      const before = readdirSync('/proc/self/fd').length;
      const staying = new Set<Socket>();
      for (const bytes of Object.values(BROKEN))
        for (const leave of [(one: Socket) => one.end(), (one: Socket) => one.destroy(), undefined])
          for (let number = 0; number < EACH; number++) staying.add(await broken(socket, bytes, leave));
      // Of this process, which is both sides: whoever stays sees that it was hung up on.
      await eventually('every descriptor is back', () => readdirSync('/proc/self/fd').length <= before);
      assert.deepEqual(
        [...staying].filter(({ destroyed }) => !destroyed),
        [],
      );
      // Who keeps to the protocol, and has been asked for a sign of life meanwhile, is served on.
      assert.deepEqual(await client.list(), []);
    } finally {
      client.close();
      await server.close();
    }
  });
});

function broken(path: string, bytes: Buffer, leave: ((one: Socket) => void) | undefined): Promise<Socket> {
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

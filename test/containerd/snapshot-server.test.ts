import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { pino } from 'pino';
import { LazyLayers } from '../../src/containerd/lazy-layers.js';
import { SnapshotBases } from '../../src/containerd/snapshot-bases.js';
import { SnapshotIndex } from '../../src/containerd/snapshot-index.js';
import { SnapshotMounts } from '../../src/containerd/snapshot-mounts.js';
import { SnapshotServer } from '../../src/containerd/snapshot-server.js';
import { Snapshotters } from '../../src/containerd/snapshotters.js';
import type { ServedPool } from '../../src/service/pool-service.js';
import { BROKEN, broken } from '../support/broken-http2.js';
import { eventually } from '../support/eventually.js';
import { FakePool } from '../support/fake-pool.js';
import { silentCalls } from '../support/silent-calls.js';
import { useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

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
      snapshotters: new Snapshotters(
        served,
        index,
        mounts,
        bases,
        new LazyLayers(pool, pino({ enabled: false })),
      ),
      calls: silentCalls(),
      keepAlive: { intervalMs: 200, timeoutMs: 1000 },
    });
    await server.listen({ socket });
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

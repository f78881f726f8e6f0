import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bucket } from '../../scripts/remote/campaign/bucket.js';
import { IMAGE_BLOCK } from '../../src/format/remote-image.js';
import { BlockSeal } from '../../src/remote/block-seal.js';
import { CodecPool } from '../../src/remote/codec-pool.js';
import { LazySource } from '../../src/remote/lazy-source.js';
import { openStore } from '../../src/remote/open-store.js';
import { Push } from '../../src/remote/push.js';
import { parseRemoteUrl } from '../../src/remote/remote-url.js';
import { RemoteDeviceModel } from '../support/remote-device.js';
import { RoundTrips } from '../support/round-trips.js';

const REFERENCE = 's3://bucket/place:web';
/** A segment each: as a large root has its blocks all over the device. */
const SEGMENTS = 6;

describe('a pull', function () {
  this.timeout(120_000);
  const bucket = new Bucket({ refused: 0, lost: 0, slow: 0, mostMs: 0 });
  const keys = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };
  const outer = Object.fromEntries(Object.keys(keys).map((name) => [name, process.env[name]]));
  const device = new RemoteDeviceModel('web', SEGMENTS * 16384);
  let port: number;
  let trips: RoundTrips;
  let source: LazySource;
  let settings: Record<string, string>;

  before(async () => {
    // The thread has the process's.
    Object.assign(process.env, keys);
    port = await bucket.listen();
    for (let segment = 0; segment < SEGMENTS; segment++)
      for (let block = 0; block < 40; block++)
        device.write(segment * 16384 + block, randomBytes(IMAGE_BLOCK));
    device.start = [3, 16384 + 5, 2 * 16384 + 7, 5 * 16384 + 1];
    const env = { ...keys, AWS_ENDPOINT_URL: `http://127.0.0.1:${port}` };
    const store = await openStore(parseRemoteUrl(REFERENCE).place, env);
    const codecs = new CodecPool(undefined, 1);
    const { signal } = new AbortController();
    const parts = { store, source: device.source(), codecs, seal: new BlockSeal(undefined), signal };
    await new Push({ ...parts, maker: 'test', isGone: () => Promise.resolve(false) }).run('web');
    await codecs.close();
    store.close();
    trips = new RoundTrips({ host: '127.0.0.1', port });
    settings = { AWS_ENDPOINT_URL: `http://127.0.0.1:${await trips.listen()}` };
    source = new LazySource();
  });
  after(async () => {
    await source.close();
    trips.close();
    bucket.close();
    for (const [name, value] of Object.entries(outer))
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
  });

  it('waits for four round trips at most until the blocks of a recorded start are here', async () => {
    const found = await source.find({ reference: REFERENCE, keyFile: '', note: 'note', settings });
    assert.ok(found.isHeld);
    assert.equal(found.device.name, 'web');
    const image = { ...{ url: found.url, digest: found.digest, keyFile: '', note: 'note', settings } };
    const remote = { ...image, family: 1, isHydrating: false };
    let blocks = 0;
    const how = { below: undefined, blocksEach: 1, timeoutMs: 60_000 };
    for await (const { changed } of source.changesOf(remote, how)) blocks += changed.length;
    assert.equal(blocks, device.blocks.size);
    const known = { ...remote, id: 1, left: blocks };
    const start = await source.startOf(known);
    assert.deepEqual([...start], device.start);
    const got = new Map<number, Uint8Array>();
    await source.fetch(
      { image: known, blocks: [...start], blocksEach: 1, isUrgent: true, timeoutMs: 60_000 },
      (block, bytes) => void got.set(block, bytes),
    );
    for (const block of device.start)
      assert.ok(Buffer.from(got.get(block) ?? []).equals(device.blocks.get(block) ?? Buffer.alloc(0)));
    assert.ok(trips.count <= 4, `${trips.count} round trips`);
    // It says in one note what it needs, and the other one goes.
    while (bucket.count('place/notes/pull/') !== 1) await sleep(20);
    await source.release(remote);
    assert.equal(bucket.count('place/notes/pull/'), 0);
  });
});

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { Metrics } from '../../src/daemon/metrics.js';
import { MetadataProjection } from '../../src/docker/projection.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { DeviceChanges } from '../../src/service/device-changes.js';
import { DeviceLocks } from '../../src/service/device-locks.js';
import { Unused } from '../../src/service/device-use.js';
import { Devices } from '../../src/service/devices.js';
import { ProjectionWriter } from '../../src/service/projection-writer.js';
import { MemoryStore } from '../support/memory-store.js';
import { useScratch } from '../support/mounts.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const DEVICES = 500;
/** Far fewer than there are devices, and no fewer than one step may look at. */
const MOST_PER_TURN = 140;

/** Counts what is looked at, in all and at most in one turn. */
class Looks {
  most = 0;
  all = 0;
  #now = 0;

  note(): void {
    this.all++;
    this.most = Math.max(this.most, ++this.#now);
    if (this.#now === 1)
      setImmediate(() => {
        this.#now = 0;
      });
  }
}

class CountingStore extends MemoryStore {
  looks = new Looks();

  protected override beforeRead(): void {
    this.looks.note();
  }

  override reopen(): CountingStore {
    return new CountingStore(this.tree);
  }
}

/** The pool, with each device that it describes counted. */
function counting(pool: ThinPool, looks: Looks): ThinPool {
  return new Proxy(pool, {
    get: (target, key) => {
      if (key === 'device')
        return (name: DeviceName) => {
          looks.note();
          return target.device(name);
        };
      if (key === 'devices')
        return (...choice: Parameters<ThinPool['devices']>) =>
          target.devices(...choice).map((device) => {
            looks.note();
            return device;
          });
      if (key === 'eachDevice')
        return async function* (...choice: Parameters<ThinPool['eachDevice']>) {
          for await (const device of target.eachDevice(...choice)) {
            looks.note();
            yield device;
          }
        };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

describe('a pool of many devices', () => {
  const scratch = useScratch();
  let store: CountingStore;
  let pool: ThinPool;

  beforeEach(async () => {
    store = new CountingStore();
    pool = await makeSmallPool(store);
    const base = await pool.activate(BASE_NAME);
    await base.write(0, new Uint8Array(BLOCK).fill(1));
    await pool.deactivate(BASE_NAME);
    await pool.update(BASE_NAME, { initialized: true });
    const made: Promise<unknown>[] = [];
    for (let i = 0; i < DEVICES; i++) {
      const name = `device-${i}` as DeviceName;
      made.push(pool.createSnapshot({ name, origin: BASE_NAME, kind: 'snapshot' }));
    }
    await Promise.all(made);
    await pool.settle();
  });

  afterEach(async () => {
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });

  it('describes them in bounded steps, also when no tree was read yet', async () => {
    const looks = new Looks();
    const fresh = store.reopen();
    const again = await openPool(fresh, { commitInterval: 0 });
    fresh.looks = looks;
    let listed = 0;
    for await (const { highestMapped } of again.eachDevice()) {
      assert.equal(highestMapped, BLOCK);
      listed++;
    }
    assert.equal(listed, DEVICES + 1);
    assert.ok(looks.most <= MOST_PER_TURN, `${looks.most} nodes in one turn`);
    await again.close();
  });

  it('counts them without a look at one', () => {
    store.looks = new Looks();
    assert.deepEqual(pool.counts(), { devices: DEVICES + 1, active: 0, deleted: 0 });
    assert.equal(store.looks.all, 0);
  });

  it('makes, renames and removes one, and brings the files up to it, with a look at no other', async () => {
    const folder = await scratch.current.folder('metadata');
    const looks = new Looks();
    const counted = counting(pool, looks);
    const projection = new MetadataProjection(folder);
    const writer = new ProjectionWriter(
      counted,
      (from) => projection.write(from),
      (error) => assert.fail(String(error)),
    );
    const devices = new Devices({
      root: folder,
      pool: counted,
      changes: new DeviceChanges(new DeviceLocks(), writer),
      use: new Unused(),
      makers: { isAtWork: () => Promise.resolve(true), makerOf: () => Promise.resolve('1') },
    });
    await writer.refresh();
    assert.ok(looks.most <= MOST_PER_TURN, `the first write looked at ${looks.most} in one turn`);
    const before = looks.all;
    await devices.create({ name: 'one-more', kind: 'snapshot' });
    await writer.settled();
    assert.ok((await readdir(folder)).includes('one-more'));
    await devices.rename('one-more', 'renamed');
    await writer.settled();
    assert.ok((await readdir(folder)).includes('renamed'));
    await devices.remove('renamed');
    await writer.settled();
    assert.deepEqual(
      (await readdir(folder)).filter((name) => /one-more|renamed/.test(name)),
      [],
    );
    assert.ok(looks.all - before < 40, `${looks.all - before} looks at devices`);
    assert.equal((await devices.list()).length, DEVICES + 1);
    assert.ok(looks.most <= MOST_PER_TURN, `${looks.most} looks in one turn`);
  });

  it('reserves their metadata with turns for others', async () => {
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    count();
    const held = await pool.tools.reserve();
    isOver = true;
    assert.equal(held.devices, DEVICES + 1);
    assert.ok(turns >= DEVICES / MOST_PER_TURN, `${turns} turns`);
    for (const { exclusive } of pool.devices()) assert.equal(exclusive, 0);
    await pool.tools.release(held.id);
    await pool.settle();
  });

  it('tells its figures in bounded steps', async () => {
    const looks = new Looks();
    const text = await new Metrics({
      pool: counting(pool, looks),
      mounted: () => 0,
      events: undefined,
    }).text();
    assert.equal(text.match(/^thinfuse_device_size_bytes\{/gm)?.length, DEVICES + 1);
    assert.ok(looks.most <= MOST_PER_TURN, `${looks.most} devices in one turn`);
  });
});

import assert from 'node:assert/strict';
import { logKey } from '../../src/format/keys.js';
import { sealVersion } from '../../src/format/seal.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { readSuperblock } from '../../src/metadata/open-metadata.js';
import { DeviceLog } from '../../src/pool/device-log.js';
import type { DeviceInfo } from '../../src/pool/info.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { PoolLog } from '../../src/store/pool-log.js';
import { CrashLog } from '../support/crash-log.js';
import { CrashStore } from '../support/crash-store.js';
import { useScratch } from '../support/mounts.js';
import { BLOCK, closeState, makePoolState, makeSmallPool } from '../support/small-pool.js';

const web = 'web' as DeviceName;
const shop = 'shop' as DeviceName;
const old = 'old' as DeviceName;

/** What its record has. */
function recorded(device: DeviceInfo): readonly unknown[] {
  const { name, kind, label, size, quota, transactionId, createdAt, originName } = device;
  return [name, kind, label, size, quota, transactionId, createdAt, originName];
}

describe('changes of devices in a pool with a log', () => {
  const scratch = useScratch();
  let machines = 0;
  let store: CrashStore;
  let log: CrashLog;
  let pool: ThinPool;

  beforeEach(async () => {
    store = new CrashStore();
    await (await makeSmallPool(store)).close();
    store = new CrashStore(store.contents);
    await start(2 ** 20);
  });

  afterEach(async () => {
    await pool.close();
    await log.remove();
  });

  async function start(ring: number, left?: ReturnType<CrashLog['left']>): Promise<void> {
    const machine = { isStopped: () => store.frozen, stop: () => undefined };
    log = new CrashLog(scratch.current.at(`machine-${machines++}`), `boot-${machines}`, machine, left);
    const { uuid } = readSuperblock(store);
    const opened = await PoolLog.open('memory', store, {
      uuid,
      isDirect: false,
      ring,
      onNote: () => undefined,
      files: log,
    });
    pool = await openPool(store, { commitInterval: 0, log: opened });
  }

  /** The machine stops, and none of what was not synced is there afterwards. */
  async function stopAndStart(): Promise<void> {
    const left = log.crash(1);
    const found = store.crash();
    store.freeze();
    await pool.close().catch(() => undefined);
    await log.remove();
    store = found;
    await start(2 ** 20, left);
  }

  async function bytesOf(name: DeviceName, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    await (await pool.activate(name)).read(0, bytes);
    return bytes;
  }

  it('are answered when the log is synced, and are there after a stop', async () => {
    const base = await pool.activate(BASE_NAME);
    await base.write(0, new Uint8Array(BLOCK).fill(1));
    const batches = store.batchCount;
    await pool.createSnapshot({ name: web, origin: BASE_NAME, kind: 'container', label: 'first' });
    const synced = log.file.syncCount;
    await base.write(0, new Uint8Array(BLOCK).fill(2));
    await pool.createSnapshot({ name: shop, origin: web, kind: 'snapshot', quota: 4 * BLOCK });
    assert.equal(log.file.syncCount, synced + 1);
    await (await pool.activate(web)).write(0, new Uint8Array(512).fill(3));
    await pool.deactivate(web);
    await pool.rename(web, old);
    await pool.update(shop, { label: 'second', kind: 'image' });
    await pool.grow(shop, 64 * BLOCK);
    await pool.createThin({ name: web, kind: 'container', size: 8 * BLOCK, filesystem: 'ext4' });
    await pool.remove(web);
    const told = pool.devices();
    const last = pool.lastTransaction();
    assert.equal(store.batchCount, batches, 'commits come later');

    await stopAndStart();
    const found = pool.devices();
    assert.deepEqual(found.map(recorded), told.map(recorded));
    assert.deepEqual(pool.lastTransaction(), last);
    assert.ok((await bytesOf(BASE_NAME, BLOCK)).every((byte) => byte === 2));
    assert.ok((await bytesOf(shop, BLOCK)).every((byte) => byte === 1));
    assert.ok((await bytesOf(old, BLOCK)).every((byte, at) => byte === (at < 512 ? 3 : 1)));
    assert.deepEqual((await pool.check()).findings, []);
  });

  it('with fields that older programs do not know are foreseen in the store, which those refuse', async () => {
    const stateVersion = (): number => sealVersion(store.getSync(logKey)!, 0);
    await pool.createSnapshot({ name: web, origin: BASE_NAME, kind: 'container' });
    assert.equal(stateVersion(), 2);
    const batches = store.batchCount;
    await pool.update(web, { labels: { tier: 'front' } });
    assert.ok(store.batchCount > batches, 'the first is a commit');
    assert.equal(stateVersion(), 3);
    const foreseen = store.batchCount;
    await pool.createSnapshot({ name: shop, origin: web, kind: 'container', labels: { tier: 'back' } });
    await pool.update(web, { limit: 4 * BLOCK });
    assert.equal(store.batchCount, foreseen, 'the others are in the log');

    await stopAndStart();
    assert.deepEqual([pool.device(web)?.labels, pool.device(web)?.limit], [{ tier: 'front' }, 4 * BLOCK]);
    assert.deepEqual(pool.device(shop)?.labels, { tier: 'back' });
    assert.equal(stateVersion(), 2);
    assert.deepEqual((await pool.check()).findings, []);
  });

  it('are commits where the log has no room, and so is what follows until they are durable', async () => {
    const label = 'x'.repeat(300_000);
    const batches = store.batchCount;
    const first = pool.createThin({ name: web, kind: 'container', size: BLOCK, filesystem: 'xfs', label });
    const second = pool.createThin({ name: shop, kind: 'container', size: BLOCK, filesystem: 'xfs' });
    await Promise.all([first, second]);
    const committed = store.batchCount;
    assert.ok(committed > batches);
    await pool.createThin({ name: old, kind: 'container', size: BLOCK, filesystem: 'xfs' });
    assert.equal(store.batchCount, committed);

    await stopAndStart();
    assert.equal(pool.device(web)?.label, label);
    assert.ok(pool.has(pool.device(shop)!.id) && pool.device(old) !== undefined);
    assert.deepEqual((await pool.check()).findings, []);
  });

  it('leave a removed device removed, and its space comes back', async () => {
    await pool.createSnapshot({ name: web, origin: BASE_NAME, kind: 'container' });
    await (await pool.activate(web)).write(0, new Uint8Array(4 * BLOCK).fill(5));
    await pool.deactivate(web);
    await pool.commit();
    const batches = store.batchCount;
    await pool.remove(web);
    assert.ok(store.batchCount <= batches + 1, 'at most the first step of the deletion');

    await stopAndStart();
    assert.equal(pool.device(web), undefined);
    await pool.settle();
    assert.equal(pool.info().dataUsed, 0);
    assert.deepEqual((await pool.check()).findings, []);
  });
});

describe('changes of devices in a pool without a log', () => {
  it('are durable with a commit that begins behind them, and one is enough for many', async () => {
    const state = await makePoolState(new CrashStore());
    const { devices } = state.metadata;
    const record = devices.find(BASE_NAME)!;
    const did: string[] = [];
    let commit = (): void => undefined;
    const log = new DeviceLog({
      log: undefined,
      devices,
      flush: () => (did.push('flush'), Promise.resolve()),
      commit: () => (did.push('commit'), new Promise((resolve) => (commit = resolve))),
    });
    await log.durable();
    log.changed(record);
    log.removed(record);
    const first = log.durable();
    // A change that the commit under way may not have.
    log.changed(record);
    commit();
    await first;
    const second = log.durable();
    commit();
    await second;
    await log.durable();
    assert.deepEqual(did, ['flush', 'commit', 'commit', 'flush']);
    await closeState(state);
  });
});

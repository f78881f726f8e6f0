import assert from 'node:assert/strict';
import type { ThinErrorCode } from '../../src/errors/thin-error.js';
import { BASE_NAME, hiddenViewName } from '../../src/format/device-name.js';
import { deviceId, type DeviceName } from '../../src/format/ids.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { CrashStore } from '../support/crash-store.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool, TEST_OPTIONS } from '../support/small-pool.js';

const name = (text: string): DeviceName => text as DeviceName;
const A = name('a');
const B = name('b');
const bytes = (fill: number, length = BLOCK): Uint8Array => new Uint8Array(length).fill(fill);

async function write(pool: ThinPool, device: DeviceName, block: number, fill: number): Promise<void> {
  await (await pool.activate(device)).write(block * BLOCK, bytes(fill));
}

async function readByte(pool: ThinPool, device: DeviceName, block: number): Promise<number> {
  const into = new Uint8Array(BLOCK);
  await (await pool.activate(device)).read(block * BLOCK, into);
  assert.ok(into.every((byte) => byte === into[0]));
  return into[0]!;
}

const snapshot = (pool: ThinPool, device: DeviceName, origin: DeviceName = BASE_NAME) =>
  pool.createSnapshot({ name: device, origin, kind: 'snapshot' });

async function refused(work: Promise<unknown>, code: ThinErrorCode, ...mentions: string[]): Promise<void> {
  await assert.rejects(work, (error: Error & { code?: string }) => {
    assert.equal(error.code, code, error.message);
    for (const mention of mentions) assert.ok(error.message.includes(mention), error.message);
    return true;
  });
}

describe('the life of devices in a pool', () => {
  let store: CrashStore;
  let pool: ThinPool;

  const reopen = async (): Promise<void> => {
    await pool.close();
    store = new CrashStore(store.contents);
    pool = await openPool(store, { commitInterval: 0 });
  };

  beforeEach(async () => {
    store = new CrashStore();
    pool = await makeSmallPool(store);
  });

  afterEach(async () => {
    await pool.settle();
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });

  it('numbers devices and transactions as Docker and dm-thin did', async () => {
    assert.equal(pool.device(BASE_NAME)?.id, 1);
    assert.equal(pool.info().transactionId, 1);
    const a = await snapshot(pool, A);
    assert.deepEqual(
      [a.id, a.origin, a.originName, a.transactionId, a.creationTime, a.kind, a.size],
      [2, 1, BASE_NAME, 2, 1, 'snapshot', TEST_OPTIONS.baseSize],
    );
    assert.deepEqual(pool.lastTransaction(), { id: 2, name: A, device: 2 });
    await pool.remove(A);
    assert.deepEqual(pool.lastTransaction(), { id: 3, name: A, device: 2 });
    const b = await snapshot(pool, B);
    assert.equal(b.id, 3, 'numbers go on, as Docker gave them out');
    assert.equal(pool.info().lastDeviceId, 3);
    await pool.rename(B, A);
    assert.equal(pool.info().transactionId, 4, 'a rename makes no device');
    await reopen();
    assert.deepEqual(pool.lastTransaction(), { id: 4, name: B, device: 3 });
    assert.deepEqual(
      pool.devices().map((device) => device.name),
      [BASE_NAME, A],
    );
  });

  it('counts the transactions of hidden devices, and tells nobody their names', async () => {
    await snapshot(pool, A);
    await snapshot(pool, hiddenViewName(deviceId(2), 1), A);
    assert.deepEqual(pool.lastTransaction(), { id: 3, name: A, device: 2 });
    await pool.remove(hiddenViewName(deviceId(2), 1));
    assert.deepEqual(pool.lastTransaction(), { id: 4, name: A, device: 2 });
  });

  it('refuses what cannot be, says why, and changes nothing', async () => {
    await snapshot(pool, A);
    const before = [pool.info(), pool.devices()];
    const size = TEST_OPTIONS.baseSize;
    const nobody = name('nobody');
    await refused(snapshot(pool, B, nobody), 'not-found', 'nobody');
    await refused(snapshot(pool, A), 'exists', 'device a');
    const sized = (bytesOf: number) =>
      pool.createSnapshot({ name: B, origin: A, kind: 'container', size: bytesOf });
    await refused(sized(size - 512), 'invalid-argument', 'b', String(size - 512));
    await refused(sized(size + 1), 'invalid-argument', String(size + 1));
    await refused(sized(2 ** 50), 'too-large', String(2 ** 50));
    await refused(pool.rename(nobody, B), 'not-found', 'nobody');
    await refused(pool.rename(A, BASE_NAME), 'exists', 'base');
    await refused(pool.rename(BASE_NAME, B), 'invalid-argument', 'base');
    await refused(pool.remove(nobody), 'not-found', 'nobody');
    await refused(pool.remove(BASE_NAME), 'invalid-argument', 'base');
    await refused(pool.grow(nobody, size), 'not-found', 'nobody');
    await refused(pool.grow(A, size - 512), 'invalid-argument', 'device a', 'shrink');
    await refused(pool.grow(A, Number.NaN), 'invalid-argument', 'NaN');
    await refused(pool.grow(A, 2 ** 50), 'too-large', String(2 ** 50));
    await refused(pool.update(nobody, { deleted: true }), 'not-found', 'nobody');
    await refused(pool.activate(nobody), 'not-found', 'nobody');
    await pool.deactivate(nobody);
    assert.deepEqual([pool.info(), pool.devices()], before);
    await pool.activate(A);
    await refused(pool.remove(A), 'busy', 'device a');
    await refused(pool.rename(A, B), 'busy', 'device a');
    await pool.deactivate(A);
    await pool.rename(A, B);
  });

  it('keeps what update, grow, rename and setOptions changed', async () => {
    await snapshot(pool, A);
    await pool.update(A, { kind: 'image', filesystemSize: 4096, deleted: true });
    await pool.update(BASE_NAME, { initialized: true, baseUuid: 'ab-cd' });
    await write(pool, A, 11, 5);
    await pool.grow(A, TEST_OPTIONS.baseSize + 512);
    assert.equal(pool.active(A)?.size, TEST_OPTIONS.baseSize + 512, 'the file grows while it is active');
    await pool.deactivate(A);
    await pool.rename(A, B);
    await Promise.all([pool.setOptions({ minFreeSpace: 3 }), pool.setOptions({ noSpaceTimeout: 9 })]);
    await reopen();
    assert.deepEqual(pool.info().options, { ...TEST_OPTIONS, minFreeSpace: 3, noSpaceTimeout: 9 });
    assert.equal(pool.info().baseDeviceUuid, 'ab-cd');
    assert.equal(pool.device(BASE_NAME)?.initialized, true);
    assert.equal(pool.device(A), undefined);
    const b = pool.device(B);
    assert.deepEqual(
      [b?.kind, b?.filesystemSize, b?.deleted, b?.size, b?.mapped],
      ['image', 4096, true, TEST_OPTIONS.baseSize + 512, BLOCK],
    );
    assert.equal(await readByte(pool, B, 11), 5);
  });

  it('keeps a label with a device, and changes its and the origin’s with a snapshot in one commit', async () => {
    const labels = (of: ThinPool): unknown[] => [of.device(A)?.label, of.device(B)?.label];
    await pool.createSnapshot({ name: A, origin: BASE_NAME, kind: 'container', label: 'one' });
    await pool.createSnapshot({ name: B, origin: A, kind: 'image' });
    assert.deepEqual(labels(pool), ['one', ''], 'a label is not inherited');
    await pool.remove(B);
    await pool.settle();
    const before = store.batchCount;
    const long = 'two'.repeat(3000);
    await pool.createSnapshot({ name: B, origin: A, kind: 'image', label: long, originLabel: 'gone' });
    assert.equal(store.batchCount, before + 1);
    await reopen();
    assert.deepEqual(labels(pool), ['gone', long]);
    await pool.update(A, { label: '' });
    await reopen();
    assert.deepEqual(labels(pool), ['', long]);
  });

  it('snapshots a snapshot a hundred deep; each reads its own, also when those between are gone', async () => {
    let origin: DeviceName = BASE_NAME;
    for (let depth = 1; depth <= 100; depth++) {
      const next = name(`d${depth}`);
      await snapshot(pool, next, origin);
      await write(pool, next, depth % 12, depth);
      origin = next;
    }
    for (let depth = 1; depth < 100; depth += 2) {
      await pool.deactivate(name(`d${depth}`));
      await pool.remove(name(`d${depth}`));
    }
    await pool.settle();
    await reopen();
    for (const depth of [2, 50, 100])
      for (let block = 0; block < 12; block++) {
        const last = depth - ((depth - block) % 12);
        assert.equal(await readByte(pool, name(`d${depth}`), block), last > 0 && last <= depth ? last : 0);
      }
    assert.equal(await readByte(pool, BASE_NAME, 1), 0);
  });

  it('keeps what snapshots read when their origin goes, and gives back the rest', async () => {
    await snapshot(pool, A);
    await write(pool, A, 0, 1);
    await write(pool, A, 1, 2);
    await snapshot(pool, B, A);
    await write(pool, A, 0, 3);
    await pool.deactivate(A);
    assert.equal(pool.info().dataUsed, 3 * BLOCK);
    await pool.remove(A);
    await pool.settle();
    assert.equal(pool.info().dataUsed, 2 * BLOCK);
    assert.deepEqual([await readByte(pool, B, 0), await readByte(pool, B, 1)], [1, 2]);
    assert.equal(pool.device(B)?.originName, A);
  });

  it('knows what is mapped before any commit, and exclusive and shared after settle', async () => {
    await write(pool, BASE_NAME, 0, 1);
    await write(pool, BASE_NAME, 1, 1);
    assert.equal(pool.device(BASE_NAME)?.mapped, 2 * BLOCK);
    await snapshot(pool, A);
    await write(pool, A, 1, 2);
    await write(pool, A, 2, 2);
    assert.equal(pool.device(A)?.mapped, 3 * BLOCK);
    await (await pool.activate(A)).discard(2 * BLOCK, BLOCK);
    await (await pool.activate(A)).discard(0, BLOCK);
    assert.equal(pool.device(A)?.mapped, BLOCK);
    await pool.settle();
    const figures = (device: DeviceName) => {
      const { mapped, exclusive, shared } = pool.device(device)!;
      return [mapped / BLOCK, exclusive / BLOCK, shared / BLOCK];
    };
    assert.deepEqual(figures(BASE_NAME), [2, 2, 0]);
    assert.deepEqual(figures(A), [1, 1, 0]);
    await snapshot(pool, B, BASE_NAME);
    await pool.settle();
    assert.deepEqual(
      [figures(BASE_NAME), figures(B)],
      [
        [2, 0, 2],
        [2, 0, 2],
      ],
    );
    await write(pool, B, 0, 9);
    await pool.settle();
    assert.deepEqual(
      [figures(BASE_NAME), figures(B)],
      [
        [2, 1, 1],
        [2, 1, 1],
      ],
    );
  });

  it('goes on giving space back where a restart interrupted it', async () => {
    const open = { commitInterval: 0, limits: { leaf: 4, internal: 4 }, reclaimStep: 1 };
    const crashing = new CrashStore();
    const first = await makeSmallPool(crashing, { open });
    await snapshot(first, A);
    for (let block = 0; block < 12; block++) await write(first, A, block, 7);
    await first.deactivate(A);
    await first.remove(A);
    crashing.freezeAt(crashing.batchCount + 1);
    await assert.rejects(first.settle());
    await first.close();
    const second = await openPool(crashing.crash(), open);
    assert.equal(second.info().pendingDeletes, 1);
    assert.deepEqual((await second.check()).findings, []);
    await second.settle();
    assert.deepEqual([second.info().pendingDeletes, second.info().dataUsed], [0, 0]);
    assert.deepEqual((await second.check()).findings, []);
    await second.close();
  });

  it('takes many snapshots of one moment in one commit, or none of them', async () => {
    await snapshot(pool, A);
    await write(pool, A, 0, 1);
    const before = pool.info().transactionId;
    const names = Array.from({ length: 40 }, (_, at) => name(`copy-${at}`));
    const request = (each: DeviceName) => ({ name: each, kind: 'snapshot' as const });
    const made = await pool.createSnapshots(A, names.map(request));
    assert.deepEqual(
      made.map((device) => device.name),
      names,
    );
    assert.equal(pool.info().transactionId, before + names.length);
    await write(pool, A, 0, 2);
    for (const each of names.slice(0, 2)) assert.equal(await readByte(pool, each, 0), 1);
    await refused(pool.createSnapshots(A, [name('x'), names[3]!].map(request)), 'exists', 'copy-3');
    assert.equal(pool.device(name('x')), undefined);
    for (const each of names.slice(0, 2)) await pool.deactivate(each);
    await pool.deactivate(A);
    await reopen();
    assert.equal(pool.devices().length, names.length + 2);
  });

  it('takes a device back to a snapshot in one commit, and gives back what only it held', async () => {
    await snapshot(pool, A);
    await write(pool, A, 0, 1);
    await snapshot(pool, B, A);
    await write(pool, A, 0, 2);
    await write(pool, A, 1, 3);
    await refused(pool.rollback(A, B), 'busy', 'a is active');
    await pool.deactivate(A);
    const { id } = await pool.rollback(A, B);
    assert.equal(pool.device(A)?.id, id);
    assert.equal(await readByte(pool, A, 0), 1);
    assert.equal(await readByte(pool, A, 1), 0);
    await write(pool, A, 0, 4);
    assert.equal(await readByte(pool, B, 0), 1);
    for (const each of [A, B]) await pool.deactivate(each);
    await pool.settle();
    assert.equal(pool.info().dataUsed, 2 * BLOCK);
    await reopen();
    assert.equal(await readByte(pool, A, 0), 4);
  });

  it('keeps min_free_space where devices are made, and nowhere else', async () => {
    const small = await makeSmallPool(new MemoryStore(), { blocks: 10, options: { minFreeSpace: 50 } });
    for (let block = 0; block < 6; block++) await write(small, BASE_NAME, block, 1);
    await refused(snapshot(small, A), 'no-space', 'dm.min_free_space=50%', '4 free data blocks');
    await write(small, BASE_NAME, 6, 1);
    await small.setOptions({ minFreeSpace: 0 });
    await snapshot(small, A);
    assert.deepEqual((await small.check()).findings, []);
    await small.close();
  });

  it('takes two operations at once one after the other', async () => {
    const both = await Promise.allSettled([snapshot(pool, A), snapshot(pool, A)]);
    assert.deepEqual(both.map((one) => one.status).sort(), ['fulfilled', 'rejected']);
    await write(pool, A, 0, 4);
    const [, reactivated] = await Promise.all([pool.deactivate(A), pool.activate(A)]);
    await reactivated.write(BLOCK, bytes(5));
    await Promise.all([snapshot(pool, B, A), pool.grow(A, TEST_OPTIONS.baseSize * 2)]);
    assert.deepEqual([await readByte(pool, B, 0), await readByte(pool, B, 1)], [4, 5]);
    await pool.deactivate(B);
    const gone = await Promise.allSettled([pool.remove(B), pool.rename(B, name('c'))]);
    assert.deepEqual(
      gone.map((one) => one.status),
      ['fulfilled', 'rejected'],
    );
  });
});

import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import { chunkId, type DeviceName } from '../../src/format/ids.js';
import { chunkBackingKey } from '../../src/format/keys.js';
import { SEAL_BYTES } from '../../src/format/seal.js';
import { checkPool } from '../../src/metadata/check.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { CrashStore } from '../support/crash-store.js';
import { ScratchData } from '../support/scratch-data.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const PAGE = 4096;
const SNAP = 'snap' as DeviceName;
const BLOCKS = 64;

describe('small writes to shared chunks in a direct pool', () => {
  let store: CrashStore;
  let data: ScratchData;
  let pool: ThinPool;

  /** The base device's first two blocks hold ones and twos; `snap` shares them. */
  beforeEach(async () => {
    store = new CrashStore();
    data = await ScratchData.make(BLOCKS * BLOCK);
    pool = await makeSmallPool(store, { kind: 'direct', blocks: BLOCKS, open: { data: await data.open() } });
    await write(BASE_NAME, 0, 1, BLOCK);
    await write(BASE_NAME, BLOCK, 2, BLOCK);
    await pool.createSnapshot({ name: SNAP, origin: BASE_NAME, kind: 'snapshot' });
  });

  afterEach(async () => {
    await pool.close();
    await data.remove();
  });

  async function write(name: DeviceName, offset: number, fill: number, length: number): Promise<void> {
    await (await pool.activate(name)).write(offset, new Uint8Array(length).fill(fill));
    await pool.commit();
  }

  async function read(name: DeviceName, offset: number, length: number): Promise<Buffer> {
    const into = Buffer.alloc(length);
    await (await pool.activate(name)).read(offset, into);
    return into;
  }

  async function reopen(): Promise<void> {
    await pool.settle();
    assert.deepEqual((await checkPool(store)).findings, []);
    await pool.close();
    store = new CrashStore(store.contents);
    pool = await openPool(store, { commitInterval: 0, data: await data.open() });
  }

  const partial = (): number[] =>
    store
      .dump()
      .filter(([key]) => key[0] === 'b'.charCodeAt(0))
      .map(([key]) => new DataView(key.buffer, key.byteOffset).getUint32(1));

  it('bring the pages that they touch, whole, wherever they begin and end', async () => {
    await write(SNAP, 3 * PAGE + 100, 7, PAGE);
    assert.equal(partial().length, 1);
    const expected = Buffer.alloc(BLOCK, 1).fill(7, 3 * PAGE + 100, 4 * PAGE + 100);
    assert.deepEqual(await read(SNAP, 0, BLOCK), expected);
    await write(SNAP, 4 * PAGE + 50, 8, 10);
    await write(SNAP, 9 * PAGE, 9, 512);
    expected.fill(8, 4 * PAGE + 50, 4 * PAGE + 60).fill(9, 9 * PAGE, 9 * PAGE + 512);
    await reopen();
    assert.deepEqual(await read(SNAP, 0, BLOCK), expected);
    assert.deepEqual(await read(BASE_NAME, 0, BLOCK), Buffer.alloc(BLOCK, 1));
  });

  it('are read in one request with what lies beside them', async () => {
    await write(SNAP, BLOCK - PAGE, 7, PAGE);
    await write(SNAP, 2 * BLOCK - PAGE, 8, PAGE);
    const expected = Buffer.concat([Buffer.alloc(BLOCK, 1), Buffer.alloc(BLOCK, 2)])
      .fill(7, BLOCK - PAGE, BLOCK)
      .fill(8, 2 * BLOCK - PAGE);
    assert.deepEqual(await read(SNAP, 0, 2 * BLOCK), expected);
    assert.deepEqual(await read(SNAP, 1000, 2 * BLOCK - 2000), expected.subarray(1000, 2 * BLOCK - 1000));
    await write(SNAP, 100, 9, 2 * BLOCK - 200);
    expected.fill(9, 100, 2 * BLOCK - 100);
    await reopen();
    assert.deepEqual(await read(SNAP, 0, 2 * BLOCK), expected);
  });

  it('end in a whole chunk when every page was written, and the backing is let go', async () => {
    for (let page = 0; page < BLOCK / PAGE; page++) {
      await write(SNAP, page * PAGE, 10 + page, PAGE);
      assert.equal(partial().length, page < BLOCK / PAGE - 1 ? 1 : 0);
    }
    await write(BASE_NAME, 0, 5, PAGE);
    assert.deepEqual(partial(), [], 'the backing has one user again, who writes in place');
    assert.equal((await read(SNAP, 0, 1))[0], 10);
    await reopen();
    assert.equal((await read(SNAP, BLOCK - 1, 1))[0], 25);
    assert.equal((await read(BASE_NAME, 0, 1))[0], 5);
  });

  it('are made whole when the backing has no other user', async () => {
    await write(BASE_NAME, 3 * PAGE, 8, PAGE);
    assert.equal(pool.info().dataUsed, 3 * BLOCK);
    await pool.deactivate(SNAP).catch(() => undefined);
    await pool.remove(SNAP);
    await pool.settle();
    assert.equal(pool.info().dataUsed, 2 * BLOCK);
    assert.deepEqual(partial(), []);
    await reopen();
    assert.deepEqual(await read(BASE_NAME, 0, BLOCK), Buffer.alloc(BLOCK, 1).fill(8, 3 * PAGE, 4 * PAGE));
  });

  it('copy the chunk where they cover much of it', async () => {
    await write(SNAP, 0, 9, BLOCK / 2);
    assert.deepEqual(partial(), []);
    assert.equal((await read(SNAP, BLOCK - 1, 1))[0], 1);
  });

  it('are forgotten by a crash as far as no commit has seen them', async () => {
    await write(SNAP, 0, 7, PAGE);
    const crashed = new CrashStore(store.contents);
    await (await pool.activate(SNAP)).write(PAGE, new Uint8Array(PAGE).fill(8));
    await pool.close();
    pool = await openPool(crashed, { commitInterval: 0, data: await data.open() });
    assert.deepEqual(await read(SNAP, 0, BLOCK), Buffer.alloc(BLOCK, 1).fill(7, 0, PAGE));
  });

  it('are not served when the record is damaged, and the rest is', async () => {
    await write(SNAP, 0, 7, PAGE);
    await pool.close();
    const hurt = new CrashStore(store.contents);
    hurt.flipBit(chunkBackingKey(chunkId(partial()[0]!)), 8 * SEAL_BYTES + 3);
    assert.ok((await checkPool(hurt)).findings.some(({ path }) => path.startsWith('chunk backing')));
    pool = await openPool(hurt, { commitInterval: 0, data: await data.open() });
    const image = await pool.activate(SNAP);
    await assert.rejects(async () => image.read(0, new Uint8Array(512)), { code: 'damaged' });
    assert.equal((await read(SNAP, BLOCK, 1))[0], 2);
    assert.equal((await read(BASE_NAME, 0, 1))[0], 1);
  });
});

import assert from 'node:assert/strict';
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { BASE_NAME } from '../../src/format/device-name.js';
import { chunkId, type DeviceName } from '../../src/format/ids.js';
import { chunkBackingKey, chunkKey, chunkPatchKey, describeKey } from '../../src/format/keys.js';
import { SEAL_BYTES } from '../../src/format/seal.js';
import { checkPool } from '../../src/metadata/check.js';
import { openPool } from '../../src/pool/pool.js';
import { repairPool } from '../../src/pool/repair-pool.js';
import { restorePool } from '../../src/pool/restore-pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { dump } from '../../src/thin-tools/dump.js';
import { CrashStore } from '../support/crash-store.js';
import { keyText, MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const PAGE = 4096;
const SNAP = 'snap' as DeviceName;
const SECOND = 'second' as DeviceName;
const THIRD = 'third' as DeviceName;

/** Numbers of the stored values with this tag (docs/on-disk-format.md). */
function stored(store: MemoryStore, tag: 'b' | 'c' | 'e'): number[] {
  return store
    .dump()
    .filter(([key]) => String.fromCharCode(key[0]!) === tag)
    .map(([key]) => new DataView(key.buffer, key.byteOffset).getUint32(1));
}

async function write(
  pool: ThinPool,
  name: DeviceName,
  offset: number,
  fill: number,
  length = PAGE,
): Promise<void> {
  await (await pool.activate(name)).write(offset, new Uint8Array(length).fill(fill));
  await pool.commit();
}

/** The first byte of every page of the first block. */
async function firstBlock(pool: ThinPool, name: DeviceName): Promise<number[]> {
  const into = new Uint8Array(BLOCK);
  await (await pool.activate(name)).read(0, into);
  const pages = Array.from({ length: BLOCK / PAGE }, (_, page) =>
    into.subarray(page * PAGE, (page + 1) * PAGE),
  );
  for (const page of pages)
    assert.ok(
      page.every((byte) => byte === page[0]),
      'a page holds one value',
    );
  return pages.map((page) => page[0]!);
}

const block = (changed: Readonly<Record<number, number>> = {}): number[] =>
  Array.from({ length: BLOCK / PAGE }, (_, page) => changed[page] ?? 1);

async function close(pool: ThinPool, store: MemoryStore): Promise<void> {
  await pool.settle();
  const { findings } = await checkPool(store);
  assert.deepEqual(findings, []);
  await pool.close();
}

/** The base device's first block holds ones; `snap` shares it. */
async function prepare(store: MemoryStore): Promise<ThinPool> {
  // So that what is stored tells what was written.
  const pool = await makeSmallPool(store, { options: { compression: 'off' } });
  await write(pool, BASE_NAME, 0, 1, BLOCK);
  await pool.createSnapshot({ name: SNAP, origin: BASE_NAME, kind: 'snapshot' });
  return pool;
}

const reopen = (store: MemoryStore): Promise<ThinPool> => openPool(store.reopen(), { commitInterval: 0 });

class WatchedStore extends CrashStore {
  onRead = (): void => undefined;

  protected override beforeRead(): void {
    super.beforeRead();
    this.onRead();
  }
}

describe('small writes in a leveldb pool', () => {
  let store: MemoryStore;

  beforeEach(() => {
    store = new MemoryStore();
  });

  it('cost a patch of the chunk, until it is as well written whole', async () => {
    const pool = await makeSmallPool(store);
    await write(pool, BASE_NAME, 0, 1, BLOCK);
    for (const page of [3, 15, 0, 7]) {
      await write(pool, BASE_NAME, page * PAGE + 100, 1, 1);
      assert.equal(stored(store, 'e').length, 1);
    }
    await write(pool, BASE_NAME, PAGE, 2);
    assert.deepEqual(stored(store, 'e'), []);
    assert.deepEqual(await firstBlock(pool, BASE_NAME), block({ 1: 2 }));
    await close(pool, store);
  });

  it('to a snapshot leave a partial chunk, read with its backing after a restart', async () => {
    const pool = await prepare(store);
    await write(pool, SNAP, 2 * PAGE, 7);
    await write(pool, SNAP, 5 * PAGE, 8);
    assert.deepEqual(
      [stored(store, 'c').length, stored(store, 'b').length, stored(store, 'e').length],
      [1, 1, 1],
    );
    const [partial] = stored(store, 'e');
    const bytes = store.getSync(chunkPatchKey(chunkId(partial!)))!.length;
    assert.equal(bytes, SEAL_BYTES + 4 + 2 * PAGE);
    await close(pool, store);
    const again = await reopen(store);
    assert.deepEqual(await firstBlock(again, SNAP), block({ 2: 7, 5: 8 }));
    assert.deepEqual(await firstBlock(again, BASE_NAME), block());
    await again.close();
  });

  it('to a snapshot of a snapshot share one backing', async () => {
    const pool = await prepare(store);
    await write(pool, SNAP, 2 * PAGE, 7);
    await pool.createSnapshot({ name: SECOND, origin: SNAP, kind: 'snapshot' });
    await write(pool, SECOND, 3 * PAGE, 8);
    assert.equal(stored(store, 'b').length, 2);
    assert.equal(stored(store, 'c').length, 1);
    await pool.deactivate(SNAP);
    await pool.remove(SNAP);
    await close(pool, store);
    const again = await reopen(store);
    assert.deepEqual(await firstBlock(again, SECOND), block({ 2: 7, 3: 8 }));
    await again.close();
  });

  it('never show in what they share a backing with, whoever writes', async () => {
    const pool = await prepare(store);
    await write(pool, SNAP, 2 * PAGE, 7);
    await write(pool, BASE_NAME, 3 * PAGE, 8);
    await pool.commit();
    assert.deepEqual(await firstBlock(pool, SNAP), block({ 2: 7 }));
    assert.deepEqual(await firstBlock(pool, BASE_NAME), block({ 3: 8 }));
    await close(pool, store);
    const again = await reopen(store);
    assert.deepEqual(await firstBlock(again, SNAP), block({ 2: 7 }));
    assert.deepEqual(await firstBlock(again, BASE_NAME), block({ 3: 8 }));
    await again.close();
  });

  it('give the backing back when the last partial chunk on it is whole, or gone', async () => {
    const pool = await prepare(store);
    await write(pool, BASE_NAME, 3 * PAGE, 8);
    const before = pool.info().dataUsed;
    assert.equal(before, 2 * BLOCK);
    await pool.remove(SNAP);
    await pool.settle();
    assert.equal(pool.info().dataUsed, BLOCK, 'made whole, since nobody else has the backing');
    assert.deepEqual([stored(store, 'b'), stored(store, 'e'), stored(store, 'c').length], [[], [], 1]);
    assert.deepEqual(await firstBlock(pool, BASE_NAME), block({ 3: 8 }));
    await close(pool, store);
  });

  it('keep nobody who is removed while they are made whole from giving its space back', async () => {
    const made = new CrashStore();
    const before = await prepare(made);
    for (let at = 1; at < 8; at++) await write(before, SNAP, at * BLOCK, 1, BLOCK);
    await before.createSnapshot({ name: SECOND, origin: SNAP, kind: 'snapshot' });
    for (let at = 0; at < 8; at++) await write(before, SNAP, at * BLOCK + PAGE, 8);
    await close(before, made);
    const watched = new WatchedStore(made.contents);
    const pool = await openPool(watched, { commitInterval: 0 });
    await pool.createSnapshot({ name: THIRD, origin: BASE_NAME, kind: 'snapshot' });
    await pool.settle();
    await pool.remove(SECOND);
    let removed: Promise<void> | undefined;
    // Chunks that are made whole are read for it, one after the other.
    watched.onRead = () => {
      if (pool.info().pendingDeletes === 0) removed ??= pool.remove(THIRD);
    };
    for (let turn = 0; turn < 1000 && (removed === undefined || pool.info().pendingDeletes > 0); turn++)
      await yieldToOthers();
    await removed;
    assert.equal(pool.info().pendingDeletes, 0);
    await pool.settle();
    assert.equal(pool.info().dataUsed, 9 * BLOCK);
    await close(pool, watched);
  });

  it('are whole where much of the chunk was written', async () => {
    const pool = await prepare(store);
    await write(pool, SNAP, 0, 9, BLOCK / 2);
    assert.deepEqual([stored(store, 'b'), stored(store, 'e'), stored(store, 'c').length], [[], [], 2]);
    await close(pool, store);
  });

  it('come along whole when the pool is repaired', async () => {
    const pool = await prepare(store);
    await write(pool, SNAP, 2 * PAGE, 7);
    await write(pool, BASE_NAME, 3 * PAGE, 8);
    await close(pool, store);
    const to = new MemoryStore();
    const { lost } = await repairPool(store.reopen(), to);
    assert.deepEqual(lost, []);
    assert.deepEqual([stored(to, 'b'), stored(to, 'e'), stored(to, 'c').length], [[], [], 2]);
    const repaired = await openPool(to, { commitInterval: 0 });
    assert.deepEqual(await firstBlock(repaired, SNAP), block({ 2: 7 }));
    assert.deepEqual(await firstBlock(repaired, BASE_NAME), block({ 3: 8 }));
    await close(repaired, to);
  });

  it('survive when the metadata is restored from a dump', async () => {
    const pool = await prepare(store);
    await write(pool, SNAP, 2 * PAGE, 7);
    await write(pool, BASE_NAME, 3 * PAGE, 8);
    await pool.commit();
    const frozen = await pool.tools.freeze();
    const text: string[] = [];
    for await (const piece of dump(await frozen.view(undefined), {
      format: 'xml',
      poolOptions: frozen.options(),
    }))
      text.push(piece);
    await frozen.close();
    await close(pool, store);
    const to = store.reopen();
    assert.equal((await restorePool(to, text, { replace: true })).strayChunks, 0);
    const restored = await openPool(to, { commitInterval: 0 });
    assert.deepEqual(await firstBlock(restored, SNAP), block({ 2: 7 }));
    assert.deepEqual(await firstBlock(restored, BASE_NAME), block({ 3: 8 }));
    await close(restored, to);
  });
});

describe('a partial chunk that is damaged', () => {
  type Spoil = readonly [how: string, spoil: (store: CrashStore, key: Uint8Array) => void];
  const WAYS: readonly Spoil[] = [
    ['lost', (store, key) => store.drop(key)],
    ['flipped', (store, key) => store.flipBit(key, 8 * SEAL_BYTES + 3)],
    ['cut short', (store, key) => store.truncate(key, SEAL_BYTES + 1)],
  ];

  for (const [how, spoil] of WAYS)
    for (const what of ['backing', 'patch', 'record'] as const)
      it(`is named and not served when its ${what} is ${how}, and the rest is`, async () => {
        const store = new CrashStore();
        const made = await prepare(store);
        await write(made, BASE_NAME, BLOCK, 5);
        await write(made, SNAP, 2 * PAGE, 7);
        await close(made, store);
        const hurt = new CrashStore(store.contents);
        const partial = chunkId(stored(hurt, 'b')[0]!);
        const key = {
          backing: chunkKey(chunkId(stored(hurt, 'c')[0]!)),
          patch: chunkPatchKey(partial),
          record: chunkBackingKey(partial),
        }[what];
        assert.ok(hurt.contents.has(keyText(key)));
        spoil(hurt, key);
        const { findings } = await checkPool(hurt);
        // Contents of chunks and patches are read when they are asked for.
        if (how === 'lost' || what === 'record') assert.ok(findings.length > 0);
        const pool = await openPool(hurt, { commitInterval: 0 });
        const image = await pool.activate(SNAP);
        await assert.rejects(
          async () => image.read(0, new Uint8Array(512)),
          (error: unknown) => error instanceof Error && /damaged|missing|cannot be read/.test(error.message),
          describeKey(key),
        );
        const into = new Uint8Array(PAGE);
        await (await pool.activate(BASE_NAME)).read(BLOCK, into);
        assert.ok(into.every((byte) => byte === 5));
        await pool.close().catch(() => undefined);
      });
});

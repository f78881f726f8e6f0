import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import type { ImageFile } from '../../src/io/image-file.js';
import { ThreadImage } from '../../src/io/thread-image.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import type { KvOperation } from '../../src/store/key-value.js';
import { MemoryStore } from '../support/memory-store.js';
import { ScratchData } from '../support/scratch-data.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const BLOCKS = 64;
const PAGE = 4096;

class HeldStore extends MemoryStore {
  held: Promise<unknown> = Promise.resolve();

  override async batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void> {
    await this.held;
    return super.batch(operations, options);
  }
}

describe('a device of a direct pool on another thread', () => {
  let store: HeldStore;
  let data: ScratchData;
  let pool: ThinPool;
  let file: ImageFile;

  /** Threads get it anew when what they have is not current any more. */
  const onThread = (): ThreadImage => new ThreadImage(file.memory!, 0);
  const bytes = (length: number, fill = 7): Buffer => Buffer.alloc(length, fill);

  beforeEach(async () => {
    store = new HeldStore();
    data = await ScratchData.make(BLOCKS * BLOCK);
    pool = await makeSmallPool(store, { kind: 'direct', blocks: BLOCKS, open: { data: await data.open() } });
    file = await pool.activate(BASE_NAME);
    await file.write(0, bytes(2 * BLOCK));
  });

  afterEach(async () => {
    await pool.close();
    await data.remove();
  });

  it('flushes by itself what was written to blocks that are mapped for good', async () => {
    const image = onThread();
    assert.equal(image.flush(), false, 'a mapping is not durable yet');
    await pool.commit();
    assert.equal(image.flush(), true);
    assert.equal(image.write(100, bytes(PAGE), 0, PAGE), true);
    assert.equal(image.flush(), true);
    await file.discard(BLOCK, BLOCK);
    assert.equal(image.flush(), false);
  });

  it('leaves it to the pool while a commit is on its way', async () => {
    let letGo = (): void => undefined;
    store.held = new Promise<void>((resolve) => (letGo = resolve));
    const commit = pool.commit();
    assert.equal(onThread().flush(), false);
    letGo();
    await commit;
    assert.equal(onThread().flush(), true);
  });

  it('leaves it to the pool when a partial chunk has got pages', async () => {
    await pool.createSnapshot({ name: 'snap' as DeviceName, origin: BASE_NAME, kind: 'snapshot' });
    // The threads have the mappings from the pool's.
    await file.read(0, bytes(1));
    const image = onThread();
    assert.equal(image.flush(), true);
    await file.write(0, bytes(PAGE, 1));
    assert.equal(image.flush(), false);
    await pool.commit();
    assert.equal(image.flush(), true);
    assert.equal(image.write(2 * PAGE, bytes(PAGE, 2), 0, PAGE), true);
    assert.equal(image.flush(), false, 'the page is no commit’s so far');
    await pool.commit();
    assert.equal(image.flush(), true);
  });

  it('tells the pool what a sync has met', async () => {
    await pool.commit();
    assert(onThread().write(0, bytes(PAGE), 0, PAGE));
    const { chunks } = file.memory!.plane;
    assert(chunks.kind === 'file');
    const broken = { ...file.memory!, plane: { ...file.memory!.plane, chunks: { ...chunks, fd: 2 ** 30 } } };
    assert.equal(new ThreadImage(broken, 0).flush(), false);
    await assert.rejects(pool.commit(), { code: 'io', message: /EBADF/ });
    assert.throws(() => file.write(0, bytes(PAGE)), { code: 'read-only' });
  });
});

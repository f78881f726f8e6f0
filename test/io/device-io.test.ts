import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import type { ImageFile } from '../../src/io/image-file.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import type { KvOperation } from '../../src/store/key-value.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

/** Four blocks and a bit: the last one is cut short. */
const SIZE = 4 * BLOCK + 1536;

/** Holds batches up until it is told to let them go. */
class SlowStore extends MemoryStore {
  delay: Promise<unknown> = Promise.resolve();

  override async batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void> {
    const done = super.batch(operations, options);
    await this.delay;
    return done;
  }
}

describe('the data path of a device', () => {
  let store: SlowStore;
  let pool: ThinPool;
  let file: ImageFile;

  const filled = (byte: number, length: number): Uint8Array => new Uint8Array(length).fill(byte);
  const mapped = (): number => pool.device(BASE_NAME)!.mapped / BLOCK;
  const contents = async (): Promise<Uint8Array> => {
    const bytes = new Uint8Array(file.size);
    await file.read(0, bytes);
    return bytes;
  };
  const reads = async (...parts: readonly (readonly [byte: number, length: number])[]): Promise<void> => {
    const expected = Buffer.concat(parts.map(([byte, length]) => filled(byte, length)));
    assert.ok(expected.equals(await contents()));
  };

  beforeEach(async () => {
    store = new SlowStore();
    pool = await makeSmallPool(store, { options: { baseSize: SIZE }, open: { stagedBytes: 2 * BLOCK } });
    file = await pool.activate(BASE_NAME);
  });

  afterEach(async () => {
    await pool.settle();
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });

  it('writes and reads any range, over several blocks and up to a short end', async () => {
    await file.write(100, filled(1, 3 * BLOCK));
    await reads([0, 100], [1, 3 * BLOCK], [0, SIZE - 3 * BLOCK - 100]);
    await file.write(4 * BLOCK - 7, filled(2, 1543));
    const part = new Uint8Array(20);
    await file.read(4 * BLOCK - 17, part);
    assert.deepEqual([...part], [...filled(0, 10), ...filled(2, 10)]);
    assert.equal(mapped(), 5);
    assert.equal(file.mappedBytes, 5 * BLOCK);
  });

  it('leaves blocks unmapped that only zeroes are written to', async () => {
    await file.write(0, filled(0, SIZE));
    assert.equal(mapped(), 0);
    await file.write(BLOCK + 1, filled(3, 1));
    await file.write(0, filled(0, SIZE));
    assert.equal(mapped(), 1, 'a block that is mapped is overwritten');
    await reads([0, SIZE]);
  });

  it('discards whole blocks only, the short last one among them', async () => {
    await file.write(0, filled(4, SIZE));
    await file.discard(BLOCK - 1, BLOCK);
    await file.discard(10, 20);
    assert.equal(mapped(), 5);
    await file.discard(BLOCK - 1, BLOCK + 2);
    assert.equal(mapped(), 4);
    await file.discard(4 * BLOCK, 1536);
    assert.equal(mapped(), 3);
    await reads([4, BLOCK], [0, BLOCK], [4, 2 * BLOCK], [0, 1536]);
    await file.writeZeroes(10, BLOCK + 20);
    assert.equal(mapped(), 3);
    await reads([4, 10], [0, 2 * BLOCK - 10], [4, 2 * BLOCK], [0, 1536]);
    await file.writeZeroes(0, 2 * BLOCK);
    assert.equal(mapped(), 2);
  });

  it('finds data and holes', async () => {
    assert.equal(await file.seek(0, 'data'), undefined);
    assert.equal(await file.seek(5, 'hole'), 5);
    await file.write(2 * BLOCK, filled(5, BLOCK));
    assert.equal(await file.seek(7, 'data'), 2 * BLOCK);
    assert.equal(await file.seek(2 * BLOCK + 7, 'data'), 2 * BLOCK + 7);
    assert.equal(await file.seek(2 * BLOCK + 7, 'hole'), 3 * BLOCK);
    assert.equal(await file.seek(3 * BLOCK, 'data'), undefined);
    await file.write(4 * BLOCK, filled(5, 1));
    assert.equal(await file.seek(3 * BLOCK, 'data'), 4 * BLOCK);
    assert.equal(await file.seek(4 * BLOCK + 1, 'hole'), SIZE);
  });

  it('grows while it is active, over a last block that was short', async () => {
    await file.write(4 * BLOCK, filled(6, 1536));
    await pool.grow(BASE_NAME, 2000 * BLOCK);
    assert.equal(file.size, 2000 * BLOCK);
    await file.write(1999 * BLOCK, filled(7, BLOCK));
    const into = new Uint8Array(BLOCK);
    await file.read(4 * BLOCK, into);
    assert.deepEqual([into[0], into[1535], into[1536], into[BLOCK - 1]], [6, 6, 0, 0]);
    assert.equal(await file.seek(5 * BLOCK, 'data'), 1999 * BLOCK);
  });

  it('lets writers wait for a slow store once too much is staged, and loses none of it', async () => {
    let release: (value?: unknown) => void = () => undefined;
    store.delay = new Promise((resolve) => (release = resolve));
    let written = 0;
    const writer = (async () => {
      for (let round = 1; round <= 5; round++)
        for (let block = 0; block < 4; block++) {
          await file.write(block * BLOCK, filled(round, BLOCK));
          written++;
        }
    })();
    await sleep(20);
    assert.ok(written < 12, `${written} blocks went in while nothing went out`);
    await reads(
      ...[0, 1, 2, 3].map((block) => [Math.ceil((written - block) / 4), BLOCK] as const),
      [0, 1536],
    );
    release();
    await writer;
    await reads([5, 4 * BLOCK], [0, 1536]);
  });

  it('breaks sharing for the part that is written, and copies the rest', async () => {
    await file.write(0, filled(8, BLOCK));
    const copy = 'copy' as DeviceName;
    await pool.createSnapshot({ name: copy, origin: BASE_NAME, kind: 'snapshot' });
    await file.write(10, filled(9, 5));
    await reads([8, 10], [9, 5], [8, BLOCK - 15], [0, SIZE - BLOCK]);
    const into = new Uint8Array(BLOCK);
    await (await pool.activate(copy)).read(0, into);
    assert.ok(into.every((byte) => byte === 8));
    assert.equal(pool.info().dataUsed, 2 * BLOCK);
  });

  it('answers nobody once it is deactivated', async () => {
    await file.write(0, filled(1, 512));
    await pool.deactivate(BASE_NAME);
    const closed = { code: 'closed', message: /device base/ };
    assert.throws(() => file.read(0, new Uint8Array(1)), closed);
    assert.throws(() => file.write(0, new Uint8Array(1)), closed);
    assert.throws(() => file.discard(0, 1), closed);
    file = await pool.activate(BASE_NAME);
    await reads([1, 512], [0, SIZE - 512]);
  });
});

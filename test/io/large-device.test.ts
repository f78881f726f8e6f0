import assert from 'node:assert/strict';
import fc from 'fast-check';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import type { ImageFile } from '../../src/io/image-file.js';
import { ThreadImage } from '../../src/io/thread-image.js';
import type { OpenPoolOptions } from '../../src/pool/open-options.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const SIZE = 100 * 2 ** 40;
const BLOCKS = SIZE / BLOCK;
const SECTOR = 512;
/** Around them lie the ends of sheets and directories of a mapping table, and of the device. */
const PLACES = [0, 1024, 2 ** 20, 7 * 2 ** 20 - 1024, 2 ** 30, BLOCKS - 8];

/** What a device holds: a byte for each block that was written to. */
type Model = Map<number, number>;

const block = fc
  .tuple(fc.constantFrom(...PLACES), fc.integer({ min: -4, max: 7 }))
  .map(([place, off]) => Math.min(BLOCKS - 1, Math.max(0, place + off)));
const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('write' as const),
        block,
        length: fc.integer({ min: 1, max: 9 }),
        byte: fc.integer({ min: 1, max: 255 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc
        .tuple(fc.constantFrom('discard' as const, 'seek' as const), block, block)
        .map(([kind, x, y]) => ({ do: kind, block: Math.min(x, y), end: Math.max(x, y) + 1 })),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom('snapshot' as const, 'commit' as const, 'again' as const).map((kind) => ({
        do: kind,
      })),
    },
  ),
  { maxLength: 60 },
);

describe('a device of 100 TiB', () => {
  const open = (options: OpenPoolOptions = {}): Promise<ThinPool> =>
    makeSmallPool(new MemoryStore(), { blocks: 8192, options: { baseSize: SIZE }, open: options });

  /** By one of the two threads that a device is served on. */
  async function write(file: ImageFile, at: number, byte: number): Promise<void> {
    const bytes = Buffer.alloc(SECTOR, byte);
    if (byte % 2 === 0 || !new ThreadImage(file.memory!, 0).write(at * BLOCK, bytes, 0, SECTOR))
      await file.write(at * BLOCK, bytes);
  }

  async function byteAt(file: ImageFile, at: number): Promise<number> {
    const bytes = Buffer.alloc(1);
    await file.read(at * BLOCK, bytes);
    return bytes[0]!;
  }

  /** Begins of data and of holes, as SEEK_DATA and SEEK_HOLE find them one after the other. */
  async function extents(file: ImageFile): Promise<number[]> {
    const found: number[] = [];
    for (let at = 0; at < SIZE;) {
      const data = await file.seek(at, 'data');
      if (data === undefined) break;
      at = (await file.seek(data, 'hole'))!;
      found.push(data / BLOCK, at / BLOCK);
    }
    return found;
  }

  function extentsOf(model: Model): number[] {
    const blocks = [...model.keys()].sort((x, y) => x - y);
    return blocks.flatMap((each) => [
      ...(model.has(each - 1) ? [] : [each]),
      ...(model.has(each + 1) ? [] : [each + 1]),
    ]);
  }

  function nextOf(model: Model, from: number, what: 'data' | 'hole'): number | undefined {
    if (what === 'data') return [...model.keys()].filter((each) => each >= from).sort((x, y) => x - y)[0];
    let at = from;
    while (model.has(at)) at++;
    return at;
  }

  async function assertHolds(file: ImageFile, model: Model): Promise<void> {
    assert.deepEqual(await extents(file), extentsOf(model));
    for (const [at, byte] of model) assert.equal(await byteAt(file, at), byte, `block ${at}`);
    assert.equal(file.mappedBytes, model.size * BLOCK);
  }

  it('lets others take turns while blocks far from each other are discarded', async () => {
    const pool = await open();
    const file = await pool.activate(BASE_NAME);
    const each = Math.floor(BLOCKS / 1000);
    for (let at = 0; at < 1000; at++) await write(file, at * each, 2);
    await file.flush();
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    count();
    await file.discard(0, SIZE);
    isOver = true;
    assert.ok(turns >= 1000 / 100, `${turns} turns`);
    await assertHolds(file, new Map());
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });

  it('holds what a plain map holds, in nodes of four entries, few sheets of tables and short steps', async function () {
    this.timeout(120_000);
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const pool = await open({
          limits: { leaf: 4, internal: 4 },
          cachedNodes: 4,
          tableSheets: 6,
          searchStep: 40,
          applyStep: 3,
        });
        const file = await pool.activate(BASE_NAME);
        const model: Model = new Map();
        const snapshots: { name: DeviceName; model: Model }[] = [];
        for (const step of all)
          switch (step.do) {
            case 'write':
              for (let at = step.block; at < Math.min(BLOCKS, step.block + step.length); at++) {
                await write(file, at, step.byte);
                model.set(at, step.byte);
              }
              break;
            case 'discard':
              await file.discard(step.block * BLOCK, (step.end - step.block) * BLOCK);
              for (const at of [...model.keys()]) if (at >= step.block && at < step.end) model.delete(at);
              break;
            case 'seek':
              for (const what of ['data', 'hole'] as const) {
                const found = await file.seek(step.block * BLOCK, what);
                const expected = nextOf(model, step.block, what);
                assert.equal(found, expected === undefined ? undefined : expected * BLOCK, what);
              }
              break;
            case 'snapshot': {
              const name = `snap${snapshots.length}` as DeviceName;
              await pool.createSnapshot({ name, origin: BASE_NAME, kind: 'snapshot' });
              snapshots.push({ name, model: new Map(model) });
              break;
            }
            case 'commit':
              await pool.commit();
              assert.equal(
                pool.device(BASE_NAME)?.highestMapped,
                (Math.max(-1, ...model.keys()) + 1) * BLOCK,
              );
              break;
            case 'again':
              // Beside others, which may take its sheets away.
              await Promise.all([pool.commit(), extents(file)]);
          }
        await assertHolds(file, model);
        for (const snapshot of snapshots)
          await assertHolds(await pool.activate(snapshot.name), snapshot.model);
        await assertHolds(file, model);
        await pool.settle();
        assert.deepEqual((await pool.check()).findings, []);
        await pool.close();
      }),
      { numRuns: 40 },
    );
  });

  it('is discarded, and looked through, at the cost of what is mapped', async () => {
    const pool = await open();
    const file = await pool.activate(BASE_NAME);
    for (const at of PLACES) await write(file, at, 2);
    assert.deepEqual(
      await extents(file),
      PLACES.flatMap((at) => [at, at + 1]),
    );
    await pool.commit();
    await file.writeZeroes(BLOCK, SIZE - BLOCK);
    assert.deepEqual(await extents(file), [0, 1]);
    await file.writeZeroes(0, SIZE);
    assert.equal(await file.seek(0, 'data'), undefined);
    assert.equal(await file.seek(5, 'hole'), 5);
    await pool.settle();
    assert.equal(pool.info().dataUsed, 0);
    await pool.close();
  });

  it('lets others pass while much of it is discarded, and while its end is looked for', async () => {
    const pool = await open({ searchStep: 100 });
    const file = await pool.activate(BASE_NAME);
    for (let at = 0; at < 3000; at++) await write(file, at, 2);
    await pool.commit();
    let searching = true;
    const searched = file.seek(0, 'hole').finally(() => (searching = false));
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(searching, 'who asks meanwhile is answered first');
    assert.equal(await searched, 3000 * BLOCK);
    let discarding = true;
    const discarded = Promise.resolve(file.discard(0, SIZE)).finally(() => (discarding = false));
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(discarding, 'who asks meanwhile is answered first');
    assert.ok(file.mappedBytes > 0);
    await discarded;
    assert.equal(file.mappedBytes, 0);
    await pool.close();
  });

  it('applies much that changed in steps, and a snapshot that comes between has all of it', async () => {
    const pool = await open({ applyStep: 10 });
    const file = await pool.activate(BASE_NAME);
    for (let at = 0; at < 100; at++) await write(file, at, 2);
    let committing = true;
    const commit = pool.commit().finally(() => (committing = false));
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(committing);
    assert.equal(file.mappedBytes, 100 * BLOCK, 'what is applied is counted once');
    const name = 'between' as DeviceName;
    await pool.createSnapshot({ name, origin: BASE_NAME, kind: 'snapshot' });
    await commit;
    assert.equal(pool.device(name)?.mapped, 100 * BLOCK);
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });

  it('fails what is being discarded when it is deactivated', async () => {
    const pool = await open();
    const file = await pool.activate(BASE_NAME);
    for (let at = 0; at < 2000; at++) await write(file, at, 2);
    const discarded = Promise.resolve(file.discard(0, SIZE));
    await Promise.all([assert.rejects(discarded, { code: 'closed' }), pool.deactivate(BASE_NAME)]);
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });
});

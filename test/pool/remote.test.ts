import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DeviceName } from '../../src/format/ids.js';
import { openPool } from '../../src/pool/pool.js';
import { repairPool } from '../../src/pool/repair-pool.js';
import { restorePool } from '../../src/pool/restore-pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { readSuperblock } from '../../src/metadata/open-metadata.js';
import { dump } from '../../src/thin-tools/dump.js';
import { AWAY, IMAGE, imageBlock, MemorySource } from '../support/memory-source.js';
import { CrashStore } from '../support/crash-store.js';
import { ScratchData } from '../support/scratch-data.js';
import { assertClean } from '../support/crash-promise.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const NAME = 'pulled' as DeviceName;
const BLOCKS = 40;
/** Of 40 blocks, all but some. */
const HAS = Array.from({ length: BLOCKS }, (_, block) => block).filter((block) => block % 7 !== 3);

for (const kind of ['leveldb', 'direct'] as const)
  describe(`remote chunks of a ${kind} pool`, () => {
    let store: CrashStore;
    let data: ScratchData | undefined;
    let source: MemorySource;
    let pool: ThinPool;

    /** As a later process finds it. */
    async function open(): Promise<ThinPool> {
      store = new CrashStore(store.contents);
      return openPool(store, {
        commitInterval: 0,
        remote: source,
        ...(data !== undefined && { data: await data.open() }),
      });
    }

    beforeEach(async () => {
      store = new CrashStore();
      source = new MemorySource(HAS);
      data = kind === 'direct' ? await ScratchData.make(4096 * BLOCK) : undefined;
      pool = await makeSmallPool(store, {
        kind,
        options: { baseSize: 12 * BLOCK },
        open: { remote: source, ...(data !== undefined && { data: await data.open() }) },
      });
      await pool.createThin({ name: NAME, kind: 'snapshot', size: BLOCKS * BLOCK, filesystem: 'xfs' });
      await pool.attachRemote(NAME, IMAGE);
    });

    afterEach(async () => {
      await pool.settle();
      await assertClean(pool, 'at the end');
      await pool.close();
      await data?.remove();
    });

    async function read(name: DeviceName, block: number, count = 1): Promise<Buffer> {
      const into = Buffer.alloc(count * BLOCK);
      await (await pool.activate(name)).read(block * BLOCK, into);
      return into;
    }

    const expected = (block: number): Buffer =>
      HAS.includes(block) ? imageBlock(block) : Buffer.alloc(BLOCK);

    it('are there at once, and are fetched when they are read, each once', async () => {
      const { mapped, remote } = pool.device(NAME)!;
      assert.deepEqual([mapped, remote, source.asked], [HAS.length * BLOCK, HAS.length * BLOCK, []]);
      await assertClean(pool, 'before anything is here');
      for (const block of [5, 4, 3, 39, 0]) assert.ok((await read(NAME, block)).equals(expected(block)));
      const whole = await read(NAME, 0, BLOCKS);
      for (let block = 0; block < BLOCKS; block++)
        assert.ok(
          whole.subarray(block * BLOCK, (block + 1) * BLOCK).equals(expected(block)),
          `block ${block}`,
        );
      const asked = source.asked.flatMap(({ blocks }) => blocks);
      assert.deepEqual(
        [...asked].sort((x, y) => x - y),
        HAS,
      );
      await pool.commit();
      assert.equal(pool.device(NAME)!.remote, undefined);
      assert.equal(readSuperblock(store).remoteChunks, undefined);
    });

    it('that cannot be put where they belong are an error of their reader, and come again', async () => {
      const whole = source.fetch.bind(source);
      source.fetch = async ({ blocks }, onBytes) => {
        // Anything that makes the putting fail, long before the request ends.
        onBytes(blocks[0]!, undefined as unknown as Uint8Array);
        await sleep(20);
      };
      const unhandled: unknown[] = [];
      const note = (error: unknown): void => void unhandled.push(error);
      process.on('unhandledRejection', note);
      try {
        await assert.rejects(read(NAME, 5));
        await sleep(40);
      } finally {
        process.off('unhandledRejection', note);
      }
      assert.deepEqual(unhandled, [], 'Node.js would end the daemon');
      source.fetch = whole;
      assert.ok((await read(NAME, 5)).equals(expected(5)));
    });

    it('are shared by snapshots, whoever reads first, and stay here when the pool is opened again', async () => {
      const names = ['one', 'two'].map((name) => name as DeviceName);
      for (const name of names) await pool.createSnapshot({ name, origin: NAME, kind: 'snapshot' });
      assert.ok((await read(names[0]!, 8)).equals(expected(8)));
      const before = source.asked.length;
      for (const name of [NAME, names[1]!]) assert.ok((await read(name, 8)).equals(expected(8)));
      await pool.close();
      pool = await open();
      assert.ok((await read(names[1]!, 8)).equals(expected(8)));
      assert.equal(source.asked.length, before);
      assert.ok((await read(names[1]!, 30)).equals(expected(30)));
    });

    it('keep what surrounds a write, in the device and in its origin', async () => {
      const copy = 'copy' as DeviceName;
      await pool.createSnapshot({ name: copy, origin: NAME, kind: 'snapshot' });
      const written = Buffer.alloc(4096, 0xee);
      for (const name of [copy, NAME]) {
        const image = await pool.activate(name);
        await image.write(9 * BLOCK + 8192, written);
        await image.write(20 * BLOCK - 2048, written);
        await image.flush();
      }
      await pool.close();
      pool = await open();
      for (const name of [copy, NAME]) {
        const [nine, pair] = [await read(name, 9), await read(name, 19, 2)];
        const whole = expected(9);
        written.copy(whole, 8192);
        assert.ok(nine.equals(whole));
        const both = Buffer.concat([expected(19), expected(20)]);
        written.copy(both, BLOCK - 2048);
        assert.ok(pair.equals(both));
      }
    });

    it('fail a read while the store is away and not for ever, and nothing else', async () => {
      await read(NAME, 0);
      source.fault = () => AWAY;
      await assert.rejects(read(NAME, 30), { code: 'io' });
      assert.ok((await read(NAME, 0)).equals(expected(0)));
      assert.equal(pool.info().mode, 'rw');
      assert.equal(pool.figures().remote.problem, AWAY.message);
      await pool.close();
      pool = await open();
      await assert.rejects(read(NAME, 30), { code: 'io' });
      source.fault = () => undefined;
      assert.ok((await read(NAME, 30)).equals(expected(30)));
      while (pool.figures().remote.problem !== undefined) await new Promise(setImmediate);
    });

    it('hold up nothing of another image whose store answers', async () => {
      const other = 'other' as DeviceName;
      await pool.createThin({ name: other, kind: 'snapshot', size: BLOCKS * BLOCK, filesystem: 'xfs' });
      await pool.attachRemote(other, { ...IMAGE, digest: 'cd'.repeat(32) });
      let go = (): void => undefined;
      source.gate = new Promise((resolve) => (go = resolve));
      const stuck = read(NAME, 5);
      while (pool.figures().remote.inFlight === 0) await new Promise(setImmediate);
      // What is read is on its way until the rest is here, whatever the machine does meanwhile.
      let goOther = (): void => undefined;
      source.otherGate = new Promise((resolve) => (goOther = resolve));
      const before = pool.figures().remote.inFlight;
      const reading = read(other, 5);
      while (source.asked.length < 2) await new Promise(setImmediate);
      const read5 = pool.figures().remote.inFlight - before;
      source.otherGate = Promise.resolve();
      const hydrating = pool.hydrate(other);
      while (pool.figures().remote.fetched < HAS.length * BLOCK - read5) await new Promise(setImmediate);
      goOther();
      await hydrating;
      assert.ok((await reading).equals(expected(5)));
      assert.equal(pool.device(other)!.remote, undefined);
      go();
      assert.ok((await stuck).equals(expected(5)));
    });

    it('have one time limit for all that a read waits for', async () => {
      let go = (): void => undefined;
      source.gate = new Promise((resolve) => (go = resolve));
      source.fault = ({ isUrgent }) => (isUrgent ? undefined : AWAY);
      const hydrating = assert.rejects(pool.hydrate(NAME), { code: 'io' });
      while (pool.figures().remote.inFlight === 0) await new Promise(setImmediate);
      const reading = read(NAME, 5);
      while (pool.figures().remote.waitedMs < 50) await sleep(10);
      go();
      await hydrating;
      assert.ok((await reading).equals(expected(5)));
      assert.ok(source.timeouts.at(-1)! <= 60_000 - 50, `${source.timeouts.at(-1)} ms are left`);
      assert.equal(pool.figures().remote.waitedMs, 0);
    });

    it('fail those who have no patience, and come for the others', async () => {
      let go = (): void => undefined;
      source.gate = new Promise((resolve) => (go = resolve));
      await pool.activate(NAME);
      pool.setPatience(NAME, 10);
      await assert.rejects(read(NAME, 5), { code: 'io' });
      pool.setPatience(NAME, undefined);
      const reading = read(NAME, 5);
      go();
      assert.ok((await reading).equals(expected(5)));
    });

    it('go with a discard or their device, and what comes late lands nowhere', async () => {
      let go = (): void => undefined;
      source.gate = new Promise((resolve) => (go = resolve));
      const image = await pool.activate(NAME);
      const late = image.read(10 * BLOCK, Buffer.alloc(BLOCK));
      await image.discard(8 * BLOCK, 8 * BLOCK);
      await pool.commit();
      const left = HAS.filter((block) => block < 8 || block > 15).length;
      assert.equal(pool.device(NAME)!.remote, left * BLOCK);
      await pool.settle();
      // The chunks that are free now are others' before the answer is here.
      const other = 'other' as DeviceName;
      await pool.createThin({ name: other, kind: 'snapshot', size: 4000 * BLOCK, filesystem: 'xfs' });
      const full = await pool.activate(other);
      for (let block = 0; block < 4000; block += 10)
        await full.write(block * BLOCK, Buffer.alloc(10 * BLOCK, 7));
      go();
      await late;
      await pool.commit();
      for (let block = 0; block < 4000; block += 100) {
        const into = Buffer.alloc(100 * BLOCK);
        await full.read(block * BLOCK, into);
        assert.ok(into.equals(Buffer.alloc(100 * BLOCK, 7)));
      }
      await pool.deactivate(other);
      await pool.remove(other);
      await pool.deactivate(NAME);
      await pool.remove(NAME);
      await pool.settle();
      assert.deepEqual(pool.remoteImages(), []);
      assert.equal(readSuperblock(store).remoteChunks, undefined);
    });

    it('are fetched in the background behind what is read, and on after a restart', async () => {
      source.fault = ({ isUrgent }) => (isUrgent ? undefined : AWAY);
      await assert.rejects(pool.hydrate(NAME), { code: 'io' });
      assert.equal(pool.remoteImages()[0]!.isHydrating, true);
      assert.ok((await read(NAME, 12)).equals(expected(12)));
      await pool.close();
      source.fault = () => undefined;
      pool = await open();
      await pool.hydrate(NAME);
      assert.deepEqual([pool.device(NAME)!.remote, pool.remoteImages()], [undefined, []]);
      source.fault = () => AWAY;
      for (const block of [1, 21, 38]) assert.ok((await read(NAME, block)).equals(expected(block)));
    });

    it('are fetched ahead where a start was recorded', async () => {
      const other = 'other' as DeviceName;
      source.start = [30, 2, 18];
      await pool.createThin({ name: other, kind: 'snapshot', size: BLOCKS * BLOCK, filesystem: 'xfs' });
      await pool.attachRemote(other, IMAGE);
      while (source.asked.length === 0) await new Promise(setImmediate);
      assert.deepEqual(source.asked[0], { blocks: [30, 2, 18], isUrgent: false });
      await pool.hydrate(other);
    });

    it('come through a dump and restore, and a repair', async () => {
      await read(NAME, 0, 4);
      await pool.commit();
      const frozen = await pool.tools.freeze();
      const text: string[] = [];
      const poolOptions = frozen.options();
      for await (const piece of dump(await frozen.view(undefined), { format: 'xml', poolOptions }))
        text.push(piece);
      await frozen.close();
      await pool.close();
      const closed = store.contents;
      store = new CrashStore(closed);
      const repaired = new CrashStore();
      const label = data === undefined ? {} : { data: labelOf(store) };
      const report = await repairPool(store, repaired, label);
      assert.deepEqual(report.lost, []);
      for (const next of [repaired, store]) {
        if (next === store) await restorePool(store, text, { replace: true, ...label });
        store = next;
        pool = await open();
        await assertClean(pool, 'rebuilt');
        assert.equal(pool.device(NAME)!.mapped, HAS.length * BLOCK);
        assert.ok((await read(NAME, 2)).equals(expected(2)));
        assert.ok((await read(NAME, 33)).equals(expected(33)));
        if (next === repaired) await pool.close();
      }
    });
  });

function labelOf(store: CrashStore): {
  uuid: string;
  blockSize: number;
  chunks: number;
  preallocated: boolean;
  start: number;
  last: number;
  maker: string;
} {
  const { uuid, blockSize, chunks } = readSuperblock(store);
  return { uuid, blockSize, chunks, preallocated: false, start: 0, last: 0, maker: '' };
}

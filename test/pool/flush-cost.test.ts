import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import { ThreadImage } from '../../src/io/thread-image.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { CrashMachines, type CrashMachine } from '../support/crash-machine.js';
import { useScratch } from '../support/mounts.js';
import { BLOCK } from '../support/small-pool.js';

const CHUNKS = 16;
const PAGE = 4096;
const RING = { direct: 2 ** 20, leveldb: 2 ** 20 };

describe('an fsync in a direct pool with a log', () => {
  const scratch = useScratch();
  let machine: CrashMachine;
  let pool: ThinPool;

  beforeEach(async () => {
    machine = await new CrashMachines(scratch, CHUNKS).first('direct');
    pool = await machine.open(RING, { commitInterval: 0 });
  });

  afterEach(() => machine.leave(pool));

  it('writes nothing to the log where blocks were overwritten in place', async () => {
    const file = await pool.activate(BASE_NAME);
    await file.write(0, new Uint8Array(2 * BLOCK).fill(1));
    await file.flush();
    const thread = new ThreadImage(file.memory!, 0);
    const { log, mark } = machine.log.left();
    for (const fill of [2, 3]) {
      await file.write(BLOCK, new Uint8Array(PAGE).fill(fill));
      await file.flush();
      assert(thread.write(PAGE, new Uint8Array(PAGE).fill(fill), 0, PAGE));
      assert(thread.flush());
      assert(machine.log.left().log.equals(log), 'a record came to the log');
      assert(machine.log.left().mark.equals(mark), 'the mark of the log moved');
    }
  });

  it('finds the work done by a thread that flushed ahead, and only that', async () => {
    const file = await pool.activate(BASE_NAME);
    await file.write(0, new Uint8Array(BLOCK).fill(1));
    await file.flush();
    const [one, other] = [new ThreadImage(file.memory!, 0), new ThreadImage(file.memory!, 1)];
    assert(one.write(0, new Uint8Array(PAGE).fill(2), 0, PAGE));
    assert(!other.awaitFlush(), 'nobody has synced what was written');
    one.flushAhead();
    assert(other.awaitFlush());
    assert(other.write(PAGE, new Uint8Array(PAGE).fill(3), 0, PAGE));
    assert(!one.awaitFlush(), 'it was written after the sync');
  });

  it('says in the log that data is durable where a block got a mapping', async () => {
    const file = await pool.activate(BASE_NAME);
    await file.write(0, new Uint8Array(BLOCK).fill(1));
    await file.flush();
    await file.write(BLOCK, new Uint8Array(BLOCK).fill(2));
    await file.flush();
    const left = machine.crashed(1);
    await machine.leave(pool);
    machine = new CrashMachines(scratch, CHUNKS).next('direct', machine.store.crash(), 'second', left);
    pool = await machine.open(RING, { commitInterval: 0 });
    const bytes = new Uint8Array(2 * BLOCK);
    await (await pool.activate(BASE_NAME)).read(0, bytes);
    assert.deepEqual([bytes[0], bytes[BLOCK], bytes[2 * BLOCK - 1]], [1, 2, 2]);
  });
});

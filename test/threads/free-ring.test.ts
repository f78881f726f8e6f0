import assert from 'node:assert/strict';
import { type Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { threadInts } from '../../src/threads/dirty-map.js';
import { FreeRing } from '../../src/threads/free-ring.js';
import { startThread } from '../../src/threads/start-thread.js';

describe('a ring of free entries', () => {
  it('is a queue with a bound', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(), fc.constant('take' as const))), (steps) => {
        const ring = FreeRing.create(8);
        const model: number[] = [];
        for (const step of steps) {
          if (step === 'take') assert.equal(ring.take(), model.shift());
          else {
            const fits = model.length < ring.capacity;
            assert.equal(ring.put(step), fits);
            if (fits) model.push(step);
          }
          assert.equal(ring.count, model.length);
        }
      }),
    );
  });

  it('gives an entry that was kept before all others, and to its keeper only', () => {
    const ring = FreeRing.create(4);
    for (const entry of [1, 2, 3]) ring.put(entry);
    const other = new FreeRing(ring.memory);
    ring.keep(ring.take()!);
    assert.equal(other.take(), 2);
    assert.equal(ring.take(), 1);
    assert.equal(ring.takeExactly(4), false);
    assert.equal(ring.takeExactly(3), true);
    assert.equal(ring.take(), undefined);
  });

  it('counts on beyond 2^31', () => {
    const ring = FreeRing.create(4);
    ring.memory.ends.fill(2 ** 31 - 2);
    for (let entry = 0; entry < 100; entry++) {
      assert.equal(ring.put(entry), true);
      assert.equal(ring.take(), entry);
    }
  });

  it('gives each entry to one thread only', async function () {
    const ring = FreeRing.create(64);
    const total = 20_000;
    const seen = threadInts(total);
    const done = threadInts(1);
    const workers = [0, 1].map(() => takeAll({ memory: ring.memory, seen, done }));
    for (let entry = 0; entry < total;) {
      if (ring.put(entry)) entry++;
      else await new Promise((resolve) => setImmediate(resolve));
    }
    Atomics.store(done, 0, 1);
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
    assert(seen.every((times) => times === 1));
  });
});

function takeAll(data: object): Worker {
  return startThread(import.meta.url, '../support/take-all', data);
}

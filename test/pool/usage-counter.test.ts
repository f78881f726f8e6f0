import assert from 'node:assert/strict';
import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { PoolSnapshots } from '../../src/pool/pool-snapshots.js';
import { UsageCounter } from '../../src/pool/usage-counter.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState, makeSmallPool } from '../support/small-pool.js';

describe('what a device calls its own', () => {
  it('follows a relative that breaks sharing, with nothing asked but a flush', async () => {
    const pool = await makeSmallPool(new MemoryStore());
    const name = 'kept' as DeviceName;
    const base = await pool.activate(BASE_NAME);
    await base.write(0, new Uint8Array(2 * BLOCK).fill(1));
    await pool.createSnapshot({ name, origin: BASE_NAME, kind: 'snapshot' });
    await base.write(0, new Uint8Array(BLOCK).fill(2));
    assert.equal(pool.device(BASE_NAME)?.mapped, 2 * BLOCK);
    await base.flush();
    while (pool.device(name)?.exclusive !== BLOCK) await sleep(20);
    assert.equal(pool.device(BASE_NAME)?.exclusive, BLOCK);
    assert.equal(pool.device(name)?.shared, BLOCK);
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });

  it('is what no other device maps, whatever was written, snapshotted and removed', async () => {
    const names = ['a', 'b', 'c'] as DeviceName[];
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ write: fc.nat(11), of: fc.nat(3) }) },
      fc.record({ snapshot: fc.nat(2), of: fc.nat(3) }),
      fc.record({ remove: fc.nat(2) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const state = await makePoolState(new MemoryStore());
        const { devices } = state.metadata;
        const snapshots = new PoolSnapshots(state);
        const nameAt = (at: number): DeviceName => [BASE_NAME, ...names][at]!;
        for (const one of steps)
          if ('remove' in one) {
            const record = devices.find(names[one.remove]!);
            const io = record && state.active.get(record.id);
            if (io !== undefined) {
              await io.close();
              await state.commit();
              io.forgetMappings();
              state.active.delete(io.device);
            }
            if (record !== undefined) state.metadata.removeDevice(record.id);
          } else if (devices.find(nameAt(one.of)) === undefined) continue;
          else if ('write' in one)
            await activate(state, nameAt(one.of)).write(one.write * BLOCK, new Uint8Array(BLOCK).fill(1));
          else if (devices.find(names[one.snapshot]!) === undefined)
            await snapshots.take(nameAt(one.of), [{ name: names[one.snapshot]!, kind: 'snapshot' }]);
        await state.commit();
        await state.reclaimer.settle();
        const counter = new UsageCounter(state.metadata);
        counter.markAll();
        await counter.settle();
        const users = new Map<number, number>();
        const maps = devices.all().map(({ id }) => [...state.metadata.mappings(id, 0, Infinity)]);
        for (const { chunk } of maps.flat()) users.set(chunk, (users.get(chunk) ?? 0) + 1);
        for (const [at, { exclusive, name }] of devices.all().entries())
          assert.equal(exclusive, maps[at]!.filter(({ chunk }) => users.get(chunk) === 1).length, name);
        await closeState(state);
      }),
      { numRuns: 40 },
    );
  });

  it('is not counted any more when the counter has stopped', async () => {
    const state = await makePoolState(new MemoryStore());
    await activate(state, BASE_NAME).write(0, new Uint8Array(BLOCK).fill(1));
    await state.commit();
    const { id } = state.metadata.devices.find(BASE_NAME)!;
    state.metadata.devices.noteExclusive(id, 0);
    const counter = new UsageCounter(state.metadata);
    await counter.stop();
    counter.markAll();
    counter.markFamilyLater(id);
    await counter.settle();
    assert.equal(state.metadata.devices.get(id).exclusive, 0);
    await closeState(state);
  });

  it('is known of several together: what only they share comes back when all of them go', async () => {
    const pool = await makeSmallPool(new MemoryStore());
    const [a, b, c] = ['a', 'b', 'c'] as DeviceName[];
    const write = async (name: DeviceName, block: number): Promise<void> => {
      const io = await pool.activate(name);
      await io.write(block * BLOCK, new Uint8Array(BLOCK).fill(block + 1));
      await pool.deactivate(name);
    };
    await write(BASE_NAME, 0);
    await pool.createSnapshot({ name: a!, origin: BASE_NAME, kind: 'snapshot' });
    await write(a!, 1);
    await write(a!, 2);
    await pool.createSnapshot({ name: b!, origin: a!, kind: 'snapshot' });
    await pool.createSnapshot({ name: c!, origin: b!, kind: 'snapshot' });
    await write(b!, 1);
    await write(c!, 2);
    const together = async (...names: DeviceName[]): Promise<number> =>
      (await pool.tools.jointExclusive(names)) / BLOCK;
    assert.deepEqual(
      [await together(a!), await together(b!), await together(c!)],
      [0, 1, 1],
      'a shares each of its blocks with another',
    );
    assert.equal(await together(a!, c!), 2, 'block 1 of a, which b no longer has, and block 2 of c');
    assert.equal(await together(a!, b!), 2, 'block 2, which c no longer has, and block 1 of b');
    assert.equal(await together(a!, b!, c!), 4);
    assert.equal(await together(a!, a!, BASE_NAME), 0);
    const before = pool.info().dataUsed;
    for (const name of [a!, b!]) await pool.remove(name);
    await pool.settle();
    assert.equal((before - pool.info().dataUsed) / BLOCK, 2);
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BASE_NAME } from '../../src/format/device-name.js';
import { createPool } from '../../src/pool/create-pool.js';
import { openPool } from '../../src/pool/pool.js';
import { makePoolStore, openPoolStore } from '../../src/store/pool-store.js';
import { useScratch } from '../support/mounts.js';
import { SMALL_TUNING } from '../support/numbered-batches.js';
import { passOf, PLACES, placeOf } from '../support/numbered-sectors.js';
import { seededNumbers } from '../support/sector-workload.js';
import { BLOCK, TEST_OPTIONS } from '../support/small-pool.js';

const CHILD = fileURLToPath(new URL('../support/pool-child.ts', import.meta.url));
const ROUNDS = 15;

describe('a pool whose process is killed', () => {
  const scratch = useScratch();

  /** The last pass that was flushed before the process was killed. */
  async function workAndKill(path: string, first: number, passes: number, extraMs: number): Promise<number> {
    const child = scratch.current.start(process.execPath, ['--import', 'tsx', CHILD, path, String(first)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const gone = once(child, 'close');
    let flushed = 0;
    for await (const line of createInterface(child.stdout!)) {
      flushed = Number(line);
      if (flushed !== first + passes) continue;
      await sleep(extraMs);
      child.kill('SIGKILL');
    }
    await gone;
    return flushed;
  }

  it('keeps what was flushed, whole, and no space that nobody maps', async function () {
    this.timeout(300_000);
    const seed = Date.now() % 2 ** 31;
    const next = seededNumbers(seed);
    const path = scratch.current.at('pool');
    const made = await makePoolStore(path);
    const shape = {
      path,
      blockSize: BLOCK,
      dataSize: 4096 * BLOCK,
      metadataSize: 2 ** 26,
      options: TEST_OPTIONS,
    };
    await createPool(made, shape);
    await made.close();
    let first = 1;
    for (let round = 0; round < ROUNDS; round++) {
      const when = `seed ${seed}, round ${round}`;
      const flushed = await workAndKill(path, first, next(12), next(12));
      assert.ok(flushed >= first, when);
      const pool = await openPool(await openPoolStore(path, { tuning: SMALL_TUNING }), {
        commitInterval: 0,
      });
      assert.deepEqual((await pool.check()).findings, [], when);
      const base = await pool.activate(BASE_NAME);
      for (let index = 0; index < PLACES; index++) {
        const sector = new Uint8Array(512);
        await base.read(placeOf(index), sector);
        const pass = passOf(sector, index);
        assert.ok(pass === flushed || pass === flushed + 1, `${when}: ${pass} after ${flushed}`);
      }
      for (const { name, kind } of pool.devices()) {
        if (kind === 'base') continue;
        const file = await pool.activate(name);
        const sector = new Uint8Array(512);
        for (let index = 0; index < PLACES; index++) {
          await file.read(placeOf(index), sector);
          assert.equal(passOf(sector, index), Number(name.slice(1)), `${when}: snapshot ${name}`);
        }
      }
      await pool.settle();
      assert.deepEqual((await pool.check()).findings, [], when);
      await pool.close();
      first = flushed + 2;
    }
  });
});

import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
import { UsageHistory } from '../../src/daemon/usage-history.js';
import { FakePool } from '../support/fake-pool.js';
import { useScratch } from '../support/mounts.js';

const MINUTE = 60_000;

describe('the history of a pool', () => {
  const scratch = useScratch();

  it('is bounded by a day, and goes on after a restart', async () => {
    const file = scratch.current.at('history.json');
    let now = 1_700_000_000_000;
    const first = new UsageHistory(new FakePool(), file, () => now);
    await first.start();
    for (let i = 0; i < 2000; i++) {
      now += MINUTE;
      first.sample();
    }
    const { samples } = first.get();
    assert.equal(samples.length, 1441, 'and what is now');
    assert.ok(samples[0]!.time > now - 24 * 60 * MINUTE);
    await first.stop();
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    now += MINUTE;
    const second = new UsageHistory(new FakePool(), file, () => now);
    await second.start();
    assert.equal(second.get().samples.length, 1441);
    assert.equal(second.get().samples.at(-3)!.time, now - MINUTE);
    await second.stop();
  });

  it('begins anew where what was kept cannot be read', async () => {
    const file = scratch.current.at('history.json');
    await writeFile(file, '{');
    const history = new UsageHistory(new FakePool(), file);
    await history.start();
    assert.equal(history.get().samples.length, 2);
    await history.stop();
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openLevelStore } from '../../src/store/level-store.js';
import { useScratch } from '../support/mounts.js';
import { assertNumbered, numberedLast, SMALL_TUNING } from '../support/numbered-batches.js';

const CHILD = fileURLToPath(new URL('../support/store-child.ts', import.meta.url));
const ROUNDS = 20;

describe('a writer that is killed', () => {
  const scratch = useScratch();

  /**
   * Runs a writer on `path`, kills it after `lines` batches and a little more, and says which batch it saw
   * made durable last.
   */
  async function writeAndKill(path: string, batches: number, extraMs: number): Promise<number> {
    const child = scratch.current.start(process.execPath, ['--import', 'tsx', CHILD, 'write', path], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const gone = once(child, 'close');
    let first = 0;
    let acknowledged = 0;
    for await (const line of createInterface(child.stdout!)) {
      if (line === 'open') continue;
      assert.match(line, /^\d+$/, 'the writer goes on until it is killed');
      acknowledged = Number(line);
      first ||= acknowledged;
      if (acknowledged - first === batches) {
        if (extraMs > 0) await sleep(extraMs);
        child.kill('SIGKILL');
      }
    }
    await gone;
    return acknowledged;
  }

  it('loses no batch that it was told is durable, and leaves none by half', async function () {
    this.timeout(300_000);
    const path = scratch.current.at('store');
    let before = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const acknowledged = await writeAndKill(path, Math.floor(Math.random() * 120), Math.random() * 8);
      assert.ok(acknowledged > before, `round ${round}: it wrote`);
      const store = await openLevelStore(path, { tuning: SMALL_TUNING });
      before = numberedLast(store);
      // At most one batch was on its way when the process died.
      assert.ok(
        before === acknowledged || before === acknowledged + 1,
        `${before} there, ${acknowledged} acknowledged`,
      );
      assertNumbered(store);
      await store.close();
    }
  });
});

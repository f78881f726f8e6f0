import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 50;

/** Resolves when `state` holds; a test that waits in vain fails, saying what for. Milliseconds. */
export async function eventually(
  what: string,
  state: () => Promise<boolean> | boolean,
  limit = 60_000,
): Promise<void> {
  const deadline = performance.now() + limit;
  while (!(await state())) {
    assert(performance.now() < deadline, `waited in vain until ${what}`);
    await sleep(POLL_MS);
  }
}

import assert from 'node:assert/strict';
import { until } from '../../src/async/until.js';
import type { Caller } from '../../src/api/operations.js';
import { withToolProgress } from '../../src/commands/tool-progress.js';

/** A daemon that has told these lines so far. */
function telling(lines: readonly string[]): Pick<Caller, 'text'> {
  return {
    async *text() {
      for (const line of lines) yield await Promise.resolve(line);
    },
  };
}

function lineOf(event: string, message: string, time: number): string {
  return `${JSON.stringify({ time, level: 'info', event, message, details: {} })}\n`;
}

describe('progress of a tool of the daemon', () => {
  it('is told once each, of this filesystem, since the command began', async () => {
    const later = Date.now() + 1000;
    const lines = [lineOf('host', 'the xfs on /mnt/a has grown before', 1)];
    const told: string[] = [];
    const progress = { place: '/mnt/a', onProgress: (text: string) => told.push(text), lookMs: 1 };
    const result = await withToolProgress(telling(lines), progress, async () => {
      lines.push(lineOf('host', 'the xfs on /mnt/a has grown to 1T of 2T', later), '');
      lines.push(lineOf('host', 'the xfs on /mnt/ab has grown to 1T of 2T', later + 1));
      lines.push(lineOf('call', 'mounted on /mnt/a now', later + 2));
      await until(() => told.length > 0, { limitMs: 60_000, pollMs: 1 });
      lines.push(lineOf('host', 'the xfs on /mnt/a has grown to 2T of 2T', later + 3));
      await until(() => told.length > 1, { limitMs: 60_000, pollMs: 1 });
      return 'done';
    });
    assert.equal(result, 'done');
    assert.deepEqual(told, [
      'the xfs on /mnt/a has grown to 1T of 2T',
      'the xfs on /mnt/a has grown to 2T of 2T',
    ]);
  });

  it('is no reason for the command to fail', async () => {
    const caller: Pick<Caller, 'text'> = {
      // eslint-disable-next-line require-yield
      async *text() {
        await Promise.resolve();
        throw new Error('no events here');
      },
    };
    const progress = { place: '/mnt/a', onProgress: () => undefined, lookMs: 1 };
    const work = (): Promise<number> => new Promise((resolve) => setTimeout(resolve, 20, 7));
    assert.equal(await withToolProgress(caller, progress, work), 7);
  });
});

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { lastMessage } from '../../src/commands/log-message.js';
import { useScratch } from '../support/mounts.js';

describe('what a daemon that starts said last', () => {
  const scratch = useScratch();
  const line = (time: number, msg: string): string =>
    `${JSON.stringify({ level: 30, time, pid: 7, hostname: 'h', event: 'call', msg })}\n`;

  it('is the last line of a long log, shortened to a line of the terminal', async () => {
    const log = scratch.current.at('log');
    await writeFile(log, line(5, 'before').repeat(2000) + line(9, `web is mounted${'.'.repeat(200)}`));
    assert.match(await lastMessage(log, 9), /^web is mounted\.{46}…$/);
  });

  it('is nothing where only a daemon of before has said something', async () => {
    const log = scratch.current.at('old');
    await writeFile(log, line(5, 'web is mounted'));
    assert.equal(await lastMessage(log, 6), '');
    await writeFile(log, '');
    assert.equal(await lastMessage(log, 6), '');
  });
});

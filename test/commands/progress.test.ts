import assert from 'node:assert/strict';
import path from 'node:path';
import { tryRun } from '../support/mounts.js';

const WORK = path.resolve(import.meta.dirname, '../support/work-a-while.ts');

describe('what takes long', function () {
  this.timeout(60_000);

  const onTerminal = async (...args: readonly string[]): Promise<string> => {
    const command = [process.execPath, '--import', 'tsx', WORK, ...args].join(' ');
    return (await tryRun('script', ['--quiet', '--return', '--command', command, '/dev/null'])).stdout;
  };

  it('says on a terminal what is under way', async () => {
    assert.match(await onTerminal('2500'), /checking half of it \(\d+s\)/);
  });

  it('says nothing where it is done soon, where a script reads along, or where no terminal is', async () => {
    assert.equal(await onTerminal('10'), '');
    assert.equal(await onTerminal('2500', '--json'), '');
    const { stdout, stderr } = await tryRun(process.execPath, ['--import', 'tsx', WORK, '2500']);
    assert.equal(stdout + stderr, '');
  });
});

import assert from 'node:assert/strict';
import { CLI_COMMAND } from '../support/cli.js';
import { startFakeDaemon } from '../support/fake-daemon.js';
import { tryRun, useScratch } from '../support/mounts.js';

describe('clone', () => {
  const scratch = useScratch();

  it('makes as many as there are names, in their order, and none where one cannot be', async () => {
    const root = scratch.current.at('root');
    const fake = await startFakeDaemon(root);
    const [command = '', ...before] = CLI_COMMAND;
    const clone = (...args: string[]): ReturnType<typeof tryRun> =>
      tryRun(command, [...before, '--root', root, 'clone', ...args]);
    const names = Array.from({ length: 20 }, (_, at) => `ci-${at}`);
    assert.equal((await clone('base', ...names)).stdout, `${names.join('\n')}\n`);
    const mounted = await clone('base', '--mount', 'one', 'two');
    assert.match(mounted.stdout, /^\S+\/mnt\/one\n\S+\/mnt\/two\n$/);
    const some = await clone('base', 'fresh', 'ci-3', 'other');
    assert.equal(some.code, 4);
    assert.equal(some.stdout, '');
    assert.ok(fake.pool.devices().every(({ name }) => name !== 'fresh' && name !== 'other'));
    assert.match(some.stderr, /ci-3 exists already/);
    assert.equal((await clone('nobody', 'x')).code, 3);
    assert.equal(fake.pool.devices().length, 23);
    await fake.daemon.stop('the test is over');
  });
});

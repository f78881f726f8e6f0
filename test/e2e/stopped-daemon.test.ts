import assert from 'node:assert/strict';
import { once } from 'node:events';
import { CLI_COMMAND, Cli } from '../support/cli.js';
import { makeBarePool } from '../support/bare-pool.js';
import { eventually } from '../support/eventually.js';
import { requireMounts, useScratch } from '../support/mounts.js';

const SILENT = /the daemon \(pid \d+\) does not answer: it was stopped, and goes on with: kill -CONT \d+/g;
const AGAIN = /the daemon answers again/g;

interface Running {
  said(): string;
  /** The exit code, when all that it printed was read. */
  readonly code: Promise<number | null>;
}

describe('end to end: a daemon that was stopped by a signal', function () {
  this.timeout(300_000);
  requireMounts();
  const scratch = useScratch();

  function running(cli: Cli, ...args: readonly string[]): Running {
    const [command = '', ...before] = CLI_COMMAND;
    const child = scratch.current.start(command, [...before, '--root', cli.root, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
    return { said: () => said, code: once(child, 'close').then(([code]) => code as number | null) };
  }

  const count = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0;

  it('is named by every command that waits for it, once, and once more when it goes on or is gone', async () => {
    const cli = new Cli(scratch.current);
    await makeBarePool(cli.root);
    await cli.run('start');
    const pid = await cli.daemonPid();
    const stop = async (...commands: readonly string[][]): Promise<Running[]> => {
      process.kill(pid, 'SIGSTOP');
      const all = commands.map((args) => running(cli, ...args));
      for (const one of all) await eventually('it says so', () => count(one.said(), SILENT) === 1);
      return all;
    };
    const commands = [['ls'], ['--json', 'status'], ['check'], ['dump'], ['snapshot', 'new', 'base']];
    for (const one of await stop(...commands)) {
      process.kill(pid, 'SIGCONT');
      assert.equal(await one.code, 0, one.said());
      assert.deepEqual([count(one.said(), SILENT), count(one.said(), AGAIN)], [1, 1], one.said());
    }

    // It follows events for as long as it likes, and the daemon is stopped meanwhile.
    const follower = running(cli, 'events');
    const [waiting = follower] = await stop(['ls']);
    await eventually('it says so', () => count(follower.said(), SILENT) === 1);
    process.kill(pid, 'SIGKILL');
    for (const one of [waiting, follower]) {
      await one.code;
      assert.equal(count(one.said(), AGAIN), 0, one.said());
    }
  });
});

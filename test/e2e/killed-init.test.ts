import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CLI_COMMAND, Cli } from '../support/cli.js';
import { loopsUnder, requireMounts, run, useScratch } from '../support/mounts.js';

describe('init that is killed', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs']);
  const scratch = useScratch();
  let count = 0;

  /**
   * Kills it as soon as something of that name is in the root, and the daemon that formats the base device
   * with it or not.
   */
  async function killedAt(
    cli: Cli,
    sign: RegExp,
    args: readonly string[],
    withDaemon = false,
  ): Promise<void> {
    const [command = '', ...before] = CLI_COMMAND;
    const child = scratch.current.start(command, [...before, 'init', '--root', cli.root, ...args]);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    while (child.exitCode === null && !(await namesIn(cli.root)).some((name) => sign.test(name)))
      await new Promise((resolve) => setTimeout(resolve, 1));
    const pid = String(child.pid);
    const children = withDaemon ? await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8') : '';
    for (const each of children.split(' ').filter((text) => text !== ''))
      process.kill(Number(each), 'SIGKILL');
    child.kill('SIGKILL');
    await ended;
  }

  for (const [moment, sign, withDaemon] of [
    ['before its folders are there', /^being-made$/, false],
    ['when its store is made', /^devicemapper\/CURRENT$/, false],
    ['when its data is labelled', /^devicemapper\/data$/, false],
    ['while the base device is formatted', /^thinfuse-\d+\.sock$/, false],
    ['then together with its daemon', /^thinfuse-\d+\.sock$/, true],
  ] as const)
    it(`begins anew when it died ${moment}, without --force`, async () => {
      const cli = new Cli(scratch.current, `root${count++}`);
      const args = ['--data', `${cli.root}.data`, '--data-size', '1G', '--base-size', '320M'];
      await killedAt(cli, sign, args, withDaemon);
      const unready = await cli.try('start');
      assert.equal(unready.code, 3, unready.stderr);
      assert.match(unready.stderr, /is not complete: .*thinfuse init/);
      await cli.run('init', ...args);
      assert.ok(!(await namesIn(cli.root)).includes('being-made'));
      await cli.run('snapshot', 'one', 'base');
      await cli.run('check');
      assert.deepEqual(await loopsUnder(cli.root), []);
      const again = await cli.try('init', ...args);
      assert.match(again.stderr, /has a pool already/);
    });

  it('lets a disk go that it labelled, also to another root, and takes none that is another pool’s', async () => {
    const disk = scratch.current.at('disk');
    await writeFile(disk, '');
    await run('truncate', ['-s', '1G', disk]);
    const cli = new Cli(scratch.current, 'first');
    await killedAt(cli, /^thinfuse-\d+\.sock$/, ['--data', disk, '--base-size', '320M'], true);
    const other = new Cli(scratch.current, 'second');
    await other.run('init', '--data', disk, '--base-size', '320M');
    await other.run('snapshot', 'kept', 'base');
    await cli.run('init', '--base-size', '320M');
    assert.match(await other.run('ls'), /kept/);
    const refused = await new Cli(scratch.current, 'third').try('init', '--data', disk);
    assert.match(refused.stderr, /is the data of the thinfuse pool/);
  });

  it('is waited for by another one', async () => {
    const cli = new Cli(scratch.current, 'busy');
    const [command = '', ...before] = CLI_COMMAND;
    const child = scratch.current.start(command, [
      ...before,
      'init',
      '--root',
      cli.root,
      '--base-size',
      '320M',
    ]);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    while (!(await namesIn(cli.root)).includes('being-made')) await new Promise((r) => setTimeout(r, 1));
    child.kill('SIGSTOP');
    const second = await cli.try('init');
    assert.match(second.stderr, /is making the pool in/);
    child.kill('SIGCONT');
    await ended;
    await cli.run('check');
  });
});

/** Names in the root, and those in the pool's folder. */
async function namesIn(root: string): Promise<readonly string[]> {
  const of = (folder: string): Promise<string[]> => readdir(path.join(root, folder)).catch(() => []);
  return [...(await of('.')), ...(await of('devicemapper')).map((name) => `devicemapper/${name}`)];
}

import assert from 'node:assert/strict';
import { CLI_COMMAND, Cli } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { loopsUnder, requireMounts, run, useScratch } from '../support/mounts.js';
import { startRegistry, type RunningRegistry } from '../support/registry.js';

describe('end to end: a daemon that is replaced while its store is away', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'cmp']);
  const scratch = useScratch();
  let registry: RunningRegistry | undefined;
  let cli: Cli;

  const waited = async (): Promise<number> => (await cli.call('status', {})).remote?.waitedMs ?? 0;
  const isWaiting = async (): Promise<void> =>
    eventually('a read waits for the store', async () => (await waited()) > 0);

  /** A command on its way: how it ends. */
  function begin(...args: string[]): Promise<number | null> {
    const [command = '', ...before] = CLI_COMMAND;
    const child = scratch.current.start(command, [...before, ...args, '--root', cli.root], {
      stdio: 'ignore',
    });
    return new Promise((resolve) => child.once('exit', resolve));
  }

  before('push a device, and pull it in the same pool', async function () {
    registry = await startRegistry();
    if (registry === undefined) {
      console.log('      not run, because docker-registry is not installed');
      this.skip();
    }
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '320M', '--data-size', '1G');
    await cli.run('start', '--supervised');
    await cli.run('snapshot', 'web', 'base');
    const target = (await cli.run('mount', 'web')).trim();
    await run('dd', ['if=/dev/urandom', `of=${target}/file`, 'bs=1M', 'count=6', 'conv=fsync']);
    await cli.run('umount', 'web');
    const url = `oci://${registry.host}/devices/web:x`;
    await cli.run('push', 'web', url);
    for (const name of ['read-1', 'mounted-1', 'read-2', 'mounted-2', 'hydrated'])
      await cli.run('pull', url, name);
  });
  after(() => registry?.stop());
  afterEach(() => registry?.freeze(false));

  for (const [how, number] of [
    ['dies', 1],
    ['is replaced', 2],
  ] as const)
    it(`waits for nothing when it ${how}, nor does the next, and what users read comes later`, async () => {
      const target = (await cli.run('mount', `read-${number}`)).trim();
      const { pid } = await cli.call('status', {});
      registry!.freeze(true);
      const reading = run('dd', [`if=${target}/file`, `of=${scratch.current.at('got')}`, 'bs=1M']);
      await isWaiting();
      const mounting = begin('mount', `mounted-${number}`);
      const hydrating = how === 'dies' ? undefined : begin('hydrate', '--wait', 'hydrated');
      const hasLoops = async (): Promise<boolean> => (await loopsUnder(cli.root)).length === 2;
      await eventually('the mount is under way', hasLoops);
      if (how === 'dies') process.kill(pid, 'SIGKILL');
      else await cli.run('restart');
      assert.notEqual(await mounting, 0);
      await eventually('the next daemon answers', () =>
        cli.call('status', {}).then(
          (status) => status.pid !== pid,
          () => false,
        ),
      );
      const states = async (): Promise<string[]> =>
        (await cli.call('device.list', {})).filter(({ active }) => active).map(({ name }) => name);
      assert.deepEqual(await states(), [`read-${number}`]);
      registry!.freeze(false);
      await reading;
      const original = (await cli.run('mount', 'web')).trim();
      await run('cmp', [scratch.current.at('got'), `${original}/file`]);
      if (hydrating !== undefined) assert.equal(await hydrating, 0, 'hydrate --wait goes on');
      await cli.run('umount', 'web');
      await cli.run('umount', `read-${number}`);
      await cli.run('mount', `mounted-${number}`);
      await cli.run('umount', `mounted-${number}`);
    });

  it('lets nobody who waits for a fetch hold up a stop', async () => {
    await cli.run('pull', `oci://${registry!.host}/devices/web:x`, 'more');
    registry!.freeze(true);
    const hydrating = begin('hydrate', '--wait', 'more');
    await eventually('it is asked for', async () =>
      (await cli.call('remote.images', {})).some(({ isHydrating }) => isHydrating),
    );
    await cli.run('stop');
    assert.notEqual(await hydrating, 0);
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  });
});

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { isPassing } from '../../src/format/passing-name.js';
import { CLI_COMMAND, Cli } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { copyProgram, requireMounts, run, useScratch } from '../support/mounts.js';
import { startRegistry, type RunningRegistry } from '../support/registry.js';

interface PushedJson {
  readonly digest: string;
  readonly parent: string | null;
  readonly read: number;
  readonly sent: number;
}

describe('end to end: push and pull', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'cmp']);
  const scratch = useScratch();
  let registry: RunningRegistry | undefined;
  let here: Cli;
  let there: Cli;
  let target: string;
  const url = (tag: string): string => `oci://${registry?.host ?? ''}/devices/web:${tag}`;

  async function same(name: string): Promise<void> {
    const [left, right] = await Promise.all([
      here.call('activate', { name }),
      there.call('activate', { name }),
    ]);
    await run('cmp', [left.path, right.path]);
    await Promise.all([here.call('deactivate', { name }), there.call('deactivate', { name })]);
  }

  const names = async (cli: Cli): Promise<string[]> =>
    (await cli.call('device.list', {})).map(({ name }) => String(name));

  async function write(file: string, megabytes: number): Promise<void> {
    await run('dd', ['if=/dev/urandom', `of=${target}/${file}`, 'bs=1M', `count=${megabytes}`, 'conv=fsync']);
  }

  before('two pools of two kinds, and a registry', async function () {
    const started = await startRegistry();
    if (started === undefined) {
      console.log('      not run, because docker-registry is not installed');
      this.skip();
    }
    registry = started;
    here = new Cli(scratch.current, 'here');
    there = new Cli(scratch.current, 'there');
    const data = scratch.current.at('data');
    await Promise.all([
      here.run('init', '--base-size', '320M', '--data-size', '1G'),
      there.run('init', '--base-size', '320M', '--data', data, '--data-size', '1G', '--block-size', '128K'),
    ]);
    await Promise.all([here.run('start'), there.run('start')]);
    await here.run('snapshot', 'web', 'base');
    target = (await here.run('mount', 'web')).trim();
    await write('one', 20);
  });
  after(() => registry?.stop());

  it('bring a mounted device to another host, and then what changed of it', async () => {
    const first = await here.json<PushedJson>('push', 'web', url('monday'));
    assert.equal(first.parent, null);
    await there.run('pull', url('monday'), 'web-monday');
    await write('two', 1);
    const second = await here.json<PushedJson>('push', 'web', url('tuesday'));
    assert.equal(`sha256:${second.parent}`, first.digest);
    assert.ok(second.read < first.read / 4, `${second.read} of ${first.read} bytes were read`);
    assert.ok(second.sent < first.sent / 4, `${second.sent} of ${first.sent} bytes were sent`);
    await here.run('umount', 'web');
    await here.run('push', 'web', url('wednesday'));
    await there.run('pull', '--full', url('wednesday'), 'web');
    await same('web');
    assert.match(await here.run('ls'), /^web\.pushed-[0-9a-f]{12} .* pushed/m);
    const check = await here.json<{ ok: boolean; images: number }>(
      'remote',
      'check',
      '--data',
      url('monday').replace(/:monday$/, ''),
    );
    assert.deepEqual([check.ok, check.images], [true, 3]);
  });

  it('send what differs of a device that was made of one that was pulled', async () => {
    await there.run('snapshot', 'mine', 'web');
    const pushed = await there.json<PushedJson>('push', 'mine', url('mine'));
    assert.deepEqual([pushed.read, pushed.sent], [0, 0]);
  });

  it('take an image by its digest, and refuse what is not there, is there already, or is no store', async () => {
    const { digest } = await here.json<PushedJson>('push', 'web', url('thursday'));
    const at = `${url('x').replace(/:x$/, '')}@${digest}`;
    await there.run('pull', at, 'by-digest');
    for (const [args, code] of [
      [['pull', at, 'by-digest'], 4],
      [['pull', url('nothing')], 3],
      [['pull', 'ftp://somewhere'], 2],
      [['push', 'nothing', url('x')], 3],
      [['push', 'web', at], 2],
      [['remote', 'gc', url('x').replace(/:x$/, '')], 8],
      [['remote', 'rm', url('nothing')], 3],
      [['pull', url('monday'), 'secret', '--key-file', '/nonexistent'], 3],
    ] as const)
      assert.equal((await there.try(...args)).code, code, args.join(' '));
  });

  it('keep from others what was pushed with a key', async () => {
    const key = scratch.current.at('key');
    await writeFile(key, randomBytes(32), { mode: 0o600 });
    await here.run('push', 'web', url('secret'), '--key-file', key);
    const refused = await there.try('pull', url('secret'), 'secret');
    assert.equal(refused.code, 9, refused.stderr);
    assert.match(await there.run('remote', 'ls', url('secret')), /\(encrypted\)/);
    await there.run('pull', url('secret'), 'secret', '--key-file', key);
    await there.run('rm', 'secret');
  });

  it('leave nothing of a pull that was killed, and go on with a push that was', async () => {
    await here.run('mount', 'web');
    await write('three', 60);
    await here.run('umount', 'web');
    const [command = '', ...before] = CLI_COMMAND;
    const push = scratch.current.start(
      command,
      [...before, 'push', 'web', url('killed'), '--root', here.root],
      {
        stdio: 'ignore',
      },
    );
    const packs = async (): Promise<boolean> =>
      (await (await fetch(`http://${registry?.host ?? ''}/v2/devices/web/tags/list`)).text()).includes(
        'thinfuse-note-push',
      );
    while (!(await packs())) await new Promise((resolve) => setTimeout(resolve, 20));
    push.kill('SIGKILL');
    await new Promise((resolve) => push.once('exit', resolve));
    await here.run('push', 'web', url('killed'));
    assert.ok(!(await packs()), 'its note is taken away');

    const pull = scratch.current.start(
      command,
      [...before, 'pull', '--full', url('killed'), 'got', '--root', there.root],
      {
        stdio: 'ignore',
      },
    );
    while ((await names(there)).every((name) => !isPassing(name)))
      await new Promise((resolve) => setTimeout(resolve, 20));
    pull.kill('SIGKILL');
    await new Promise((resolve) => pull.once('exit', resolve));
    await there.run('doctor', '--fix');
    assert.deepEqual(
      (await names(there)).filter((name) => isPassing(name) || name === 'got'),
      [],
    );
    await there.run('rm', 'web', 'mine', 'web-monday', 'by-digest');
    await there.run('pull', '--full', url('killed'), 'web');
    await same('web');
    await there.run('rm', 'web');
  });

  it('make a device that is there at once, and fetch what is read, also after its daemon was killed', async () => {
    await there.run('pull', url('killed'), 'web');
    const remote = async (): Promise<number> => (await there.call('device.get', { name: 'web' })).remote ?? 0;
    const all = await remote();
    assert.ok(all > 60 * 2 ** 20, `${all} bytes are remote`);
    assert.match(await there.run('scrub', '--remote'), /images in stores, \d+ blocks read: no problem found/);
    assert.equal(await remote(), all);
    await there.run('snapshot', 'mine', 'web');
    const mount = (await there.run('mount', 'mine')).trim();
    await run('dd', [`if=${mount}/three`, 'of=/dev/null', 'bs=1M', 'count=4']);
    await run('dd', ['if=/dev/urandom', `of=${mount}/own`, 'bs=64K', 'count=3', 'conv=fsync']);
    const { pid } = await there.call('status', {});
    process.kill(pid, 'SIGKILL');
    await eventually('the daemon is gone', async () => (await there.try('status')).code !== 0);
    await there.run('start');
    const left = await remote();
    assert.ok(left > 0 && left < all, `${left} of ${all} bytes are remote`);
    await same('web');
    await there.run('hydrate', '--wait', 'web');
    assert.deepEqual([await remote(), await there.call('remote.images', {})], [0, []]);
    await there.run('mount', 'mine');
    await run('cmp', ['-n', '65536', `${mount}/own`, `${mount}/own`]);
    await there.run('umount', 'mine');
    await there.run('rm', 'mine');
  });

  it('fetch ahead what a start has read: of a container, or of a command that is run for that', async () => {
    const root = scratch.current.at('root');
    for (const folder of ['bin', 'dev']) await mkdir(`${root}/${folder}`, { recursive: true });
    for (const tool of ['sh', 'cat']) await copyProgram(tool, root);
    for (const file of ['read', 'traced', 'never'])
      await writeFile(`${root}/${file}`, randomBytes(3_000_000));
    await here.run('image', 'create', 'program', '--from', root);
    await here.run('container', 'create', 'first', '--image', 'program');
    const mount = (await here.run('mount', 'first')).trim();
    await run('cat', [`${mount}/rootfs/read`]);
    await here.run('rm', '--force', 'first');
    await here.run('push', 'program', url('first-run'));
    await here.run('push', 'program', url('traced'), '--trace', 'cat /traced > /dev/null');
    const failed = await here.try('push', 'program', url('failed'), '--trace', 'exit 3');
    assert.match(failed.stderr, /chroot/);
    assert.equal((await there.try('pull', url('failed'))).code, 3);
    const total = async (name: string): Promise<number> =>
      (await there.call('device.get', { name })).remote ?? 0;
    for (const [tag, file] of [
      ['first-run', 'read'],
      ['traced', 'traced'],
    ] as const) {
      const { remote } = await there.json<{ remote: number }>('pull', url(tag), tag);
      assert.ok(remote > 9_000_000);
      await eventually(`the start of ${tag} is here`, async () => (await total(tag)) < remote - 3_000_000);
      await there.run('container', 'create', 'second', '--image', tag);
      await there.run('mount', 'second');
      await run('cat', [`${there.root}/mnt/second/rootfs/${file}`]);
      assert.ok((await total(tag)) > 3_000_000, 'what nobody has read is in the registry');
      await run('cmp', [`${there.root}/mnt/second/rootfs/never`, `${root}/never`]);
      await there.run('rm', '--force', 'second');
      await there.run('rm', '--force', tag);
    }
    await here.run('rm', 'program');
  });

  it('give back with a device what was kept to compare it with', async () => {
    await here.run('rm', 'web');
    const { code, stdout } = await here.try('doctor');
    assert.equal(code, 0, `what goes by itself is no fault: ${stdout}`);
    await eventually('what the push kept is gone', async () => (await names(here)).join() === 'base');
    for (const cli of [here, there]) {
      await cli.run('stop');
      await cli.run('check');
    }
  });
});

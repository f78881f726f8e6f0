import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cli, CLI_COMMAND } from '../support/cli.js';
import { requireMounts, run, tryRun, useScratch, type Finished } from '../support/mounts.js';

const TSCONFIG = path.resolve(import.meta.dirname, '../../tsconfig.json');

describe('end to end: send and receive', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'cmp', 'sh']);
  const scratch = useScratch();
  const at = (name: string): string => scratch.current.at(name);
  let here: Cli;
  let there: Cli;

  /** Standard output goes to a file, or standard input comes from one. */
  function piped(cli: Cli, redirect: string, ...args: readonly string[]): Promise<Finished> {
    return tryRun('sh', ['-c', `"$@" ${redirect}`, 'sh', ...CLI_COMMAND, ...args], {
      env: { ...process.env, THINFUSE_ROOT: cli.root, TSX_TSCONFIG_PATH: TSCONFIG },
    });
  }

  async function send(file: string, ...args: readonly string[]): Promise<void> {
    const { code, stderr } = await piped(here, `> ${at(file)}`, 'send', ...args);
    assert.equal(code, 0, stderr);
  }

  const receive = (file: string, ...args: readonly string[]): Promise<Finished> =>
    piped(there, `< ${at(file)}`, 'receive', ...args);

  async function received(file: string, ...args: readonly string[]): Promise<void> {
    const { code, stderr } = await receive(file, ...args);
    assert.equal(code, 0, stderr);
  }

  async function same(name: string, there_ = name): Promise<void> {
    const [left, right] = await Promise.all([
      here.call('activate', { name }),
      there.call('activate', { name: there_ }),
    ]);
    await run('cmp', [left.path, right.path]);
    await there.call('deactivate', { name: there_ });
  }

  async function namesIn(cli: Cli): Promise<string[]> {
    return (await cli.call('device.list', {})).map(({ name }) => String(name));
  }

  before('two pools, with other chunks, and a device with two snapshots in one', async () => {
    here = new Cli(scratch.current, 'here');
    there = new Cli(scratch.current, 'there');
    await Promise.all([
      here.run('init', '--base-size', '320M', '--data-size', '1G'),
      there.run('init', '--base-size', '320M', '--data-size', '1G', '--block-size', '256K'),
    ]);
    await Promise.all([here.run('start'), there.run('start')]);
    const snapshot = (name: string, origin: string): Promise<unknown> =>
      here.call('device.create', { name, origin, kind: 'snapshot' });
    await snapshot('web', 'base');
    const { path: folder } = await here.call('mount', { name: 'web' });
    await writeFile(path.join(folder, 'rootfs/page'), randomBytes(6_000_000));
    await snapshot('monday', 'web');
    await writeFile(path.join(folder, 'rootfs/page2'), randomBytes(2_000_000));
    await writeFile(path.join(folder, 'rootfs/page'), 'short');
    await snapshot('tuesday', 'web');
    await here.call('umount', { name: 'web' });
    await here.call('device.labels', { name: 'monday', labels: { team: 'shop', until: 'May' } });
    await send('monday', 'monday');
    await send('tuesday', 'tuesday', '--since', 'monday');
  });

  it('brings a device over, and then only what changed', async () => {
    await received('monday');
    await same('monday');
    const labelsOf = async (name: string) => (await there.call('device.get', { name })).labels;
    assert.deepEqual(await labelsOf('monday'), { team: 'shop', until: 'May' });
    await received('tuesday');
    await same('tuesday');
    assert.deepEqual(await labelsOf('tuesday'), {}, 'a device has the labels of its own stream');
    const [full, changes] = await Promise.all([stat(at('monday')), stat(at('tuesday'))]);
    assert.ok(full.size > 6_000_000 && full.size < 20_000_000, String(full.size));
    assert.ok(changes.size > 2_000_000 && changes.size < full.size, String(changes.size));
    await there.call('pool.settle', {});
    assert.ok((await there.call('device.get', { name: 'tuesday' })).shared > 0);
    const { path: folder } = await there.call('mount', { name: 'tuesday' });
    assert.equal(await readFile(path.join(folder, 'rootfs/page'), 'utf8'), 'short');
    await there.call('umount', { name: 'tuesday' });
    await there.call('device.remove', { name: 'tuesday' });
    await send('again', 'tuesday', '--since', 'monday');
    await run('cmp', [at('again'), at('tuesday')]);
  });

  it('refuses an earlier device that is another or was changed, and takes it again when it is as it was', async () => {
    const other = await receive('tuesday', '--since', 'base');
    assert.equal(other.code, 2);
    assert.match(other.stderr, /base does not have the content here that it has on the other side/);
    const missing = await receive('tuesday', '--since', 'sunday');
    assert.equal(missing.code, 3);
    assert.match(missing.stderr, /no such device/);
    const { path: file } = await there.call('activate', { name: 'monday' });
    const flip = async (): Promise<void> => {
      const handle = await open(file, 'r+');
      const byte = Buffer.alloc(1);
      await handle.read(byte, 0, 1, 1000);
      byte[0]! ^= 1;
      await handle.write(byte, 0, 1, 1000);
      await handle.sync();
      await handle.close();
    };
    await flip();
    assert.equal((await receive('tuesday')).code, 2);
    await flip();
    await there.call('deactivate', { name: 'monday' });
    assert.deepEqual(await namesIn(there), ['base', 'monday']);
    await received('tuesday', 'later');
    await same('tuesday', 'later');
    await there.call('device.remove', { name: 'later' });
  });

  it('refuses streams that were cut, changed or are none, and leaves nothing behind', async () => {
    const whole = await readFile(at('monday'));
    const changed = Buffer.from(whole);
    changed[whole.length - 3_000_000]! ^= 4;
    await Promise.all([
      writeFile(at('cut'), whole.subarray(0, whole.length - 3_000_000)),
      writeFile(at('changed'), changed),
      writeFile(at('none'), randomBytes(1000)),
      writeFile(at('empty'), ''),
    ]);
    for (const [file, expected, message] of [
      ['cut', 7, /cut off/],
      ['changed', 7, /not as it was sent/],
      ['none', 2, /not a stream/],
      ['empty', 2, /nothing to receive/],
    ] as const) {
      const { code, stderr } = await receive(file, 'new');
      assert.equal(code, expected, stderr);
      assert.match(stderr, message);
    }
    assert.equal((await receive('monday')).code, 4);
    assert.deepEqual(await namesIn(there), ['base', 'monday']);
  });

  it('goes on where it was cut off, with the rest', async () => {
    const cut = await receive('cut', 'part', '--keep-partial');
    assert.equal(cut.code, 7);
    const place = /--resume (\S+)/.exec(cut.stderr)?.[1] ?? '';
    assert.ok((await namesIn(there)).includes(`part.partial-${place}`), cut.stderr);
    const other = await receive('tuesday', 'part');
    assert.equal(other.code, 2, other.stderr);
    assert.match(other.stderr, /from another stream/);
    await send('rest', 'monday', '--resume', place);
    assert.ok((await stat(at('rest'))).size < (await stat(at('monday'))).size / 2 + 1_000_000);
    assert.equal((await receive('rest', 'nobody')).code, 3);
    await received('rest', 'part');
    await same('monday', 'part');
    await there.call('device.remove', { name: 'part' });
    // Another device has other sums.
    const wrong = await piped(here, `> ${at('wrong')}`, 'send', 'web', '--resume', place);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /has changed since the stream was cut off/);
  });

  it('goes on where it was cut off, with the whole', async () => {
    await receive('cut', 'part', '--keep-partial');
    await received('monday', 'part');
    await same('monday', 'part');
    await there.call('device.remove', { name: 'part' });
  });

  it('leaves both pools sound, and nothing of its own in them', async () => {
    for (const cli of [here, there]) assert.equal((await cli.call('pool.check', {})).ok, true);
    assert.deepEqual(await namesIn(here), ['base', 'web', 'monday', 'tuesday']);
    assert.deepEqual(await namesIn(there), ['base', 'monday']);
  });
});

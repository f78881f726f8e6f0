import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { CLI_COMMAND, Cli } from '../support/cli.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';

describe('what a killed command was making', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs']);
  const scratch = useScratch();
  let cli: Cli;
  let stream: Buffer;

  before(async () => {
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '320M', '--data-size', '2G');
    await cli.run('start');
    await cli.run('snapshot', 'sent', 'base');
    const target = (await cli.run('mount', 'sent')).trim();
    await run('dd', ['if=/dev/urandom', `of=${target}/file`, 'bs=1M', 'count=4', 'conv=fsync']);
    await cli.run('umount', 'sent');
    const file = scratch.current.at('stream');
    await run('sh', ['-c', `exec ${CLI_COMMAND.join(' ')} send sent --root ${cli.root} > ${file}`]);
    stream = await readFile(file);
  });

  const begin = (...args: string[]): ChildProcess => {
    const [command = '', ...before] = CLI_COMMAND;
    const child = scratch.current.start(command, [...before, ...args, '--root', cli.root], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    // What is killed reads no more.
    child.stdin!.on('error', () => undefined);
    return child;
  };
  const unfinished = async (): Promise<string[]> =>
    (await cli.call('device.list', {})).filter(({ maker }) => maker !== '').map(({ name }) => String(name));
  const until = async (holds: () => Promise<boolean>): Promise<void> => {
    while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  async function kill(child: ChildProcess): Promise<void> {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  /** A receive that has half of its stream, and waits for the rest. */
  async function halfReceived(...args: string[]): Promise<{ child: ChildProcess; name: string }> {
    const child = begin('receive', 'got', ...args);
    child.stdin!.write(stream.subarray(0, stream.length / 2));
    await until(async () => (await unfinished()).length === 1);
    return { child, name: (await unfinished())[0]! };
  }

  it('is in no list and nobody’s meanwhile, and goes with doctor --fix', async () => {
    const { child, name } = await halfReceived();
    assert.doesNotMatch(await cli.run('ls'), /passing|got/);
    assert.ok(!(await readdir(path.join(cli.root, 'metadata'))).includes(name));
    for (const args of [
      ['snapshot', 'copy', name],
      ['mount', name],
      ['activate', name],
      ['grow', name, '1G'],
      ['rename', name, 'mine'],
      ['rm', name],
    ]) {
      const refused = await cli.try(...args);
      assert.equal(refused.code, 5, `${args.join(' ')}: ${refused.stderr}`);
      assert.match(refused.stderr, /the process \d+ is making device/);
    }
    await cli.run('doctor', '--fix');
    assert.deepEqual(await unfinished(), [name], 'its maker is at work');
    await kill(child);
    await cli.run('doctor', '--fix');
    assert.deepEqual(await unfinished(), []);
    assert.doesNotMatch(await cli.run('ls'), /passing|got/);
    await cli.run('check');
  });

  it('goes by itself, and at the next start, also where the daemon died with its maker', async () => {
    const first = await halfReceived();
    await kill(first.child);
    await until(async () => (await unfinished()).length === 0);
    const second = await halfReceived();
    await Promise.all([kill(second.child), cli.kill()]);
    await cli.run('start');
    assert.deepEqual(await unfinished(), []);
    await cli.run('check');
  });

  it('is kept where a part is asked for, is no device until the rest has come, and goes with rm', async () => {
    const { child } = await halfReceived('--keep-partial');
    child.stdin!.end();
    await new Promise((resolve) => child.once('exit', resolve));
    const [part = ''] = await unfinished();
    assert.match(part, /^got\.partial-/);
    assert.match(await cli.run('ls'), /got\.partial-.* unfinished /);
    assert.match(
      (await cli.try('snapshot', 'copy', part)).stderr,
      /is a part that receive --keep-partial kept/,
    );
    await cli.run('doctor', '--fix');
    await cli.run('stop');
    await cli.run('start');
    assert.deepEqual(await unfinished(), [part]);
    const rest = begin('receive', 'got');
    rest.stdin!.end(stream);
    await new Promise((resolve) => rest.once('exit', resolve));
    assert.deepEqual(await unfinished(), []);
    assert.equal((await cli.call('device.get', { name: 'got' })).maker, '');
    await cli.run('rm', 'got');
  });

  it('does not take its name: an image is made again at once', async () => {
    const tree = await scratch.current.folder('tree');
    await run('sh', ['-c', `for i in $(seq 3000); do echo $i > ${tree}/$i; done`]);
    const child = begin('image', 'create', 'image', '--from', tree);
    await until(async () => (await unfinished()).includes('image'));
    await until(async () => (await cli.call('device.get', { name: 'image' })).mountPoint !== undefined);
    await kill(child);
    assert.notEqual((await cli.try('container', 'create', 'web', '--image', 'image')).code, 0);
    await cli.run('image', 'create', 'image', '--from', tree);
    await cli.run('container', 'create', 'web', '--image', 'image');
    const target = (await cli.run('mount', 'web')).trim();
    await run('diff', ['-r', tree, `${target}/rootfs`]);
    await cli.run('umount', 'web');
    await cli.run('stop');
  });
});

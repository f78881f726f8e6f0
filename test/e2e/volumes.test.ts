import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cli } from '../support/cli.js';
import { loopsUnder, requireMounts, run, useScratch } from '../support/mounts.js';
import { VolumeClient } from '../support/volume-client.js';

describe('end to end: volumes of Docker and podman', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'fsfreeze']);
  const scratch = useScratch();
  let cli: Cli;
  let client: VolumeClient;
  let socket: string;

  const filesystem = async (target: string): Promise<string> =>
    (await run('stat', ['--file-system', '--format=%T', target])).trim();

  before('make a pool and start it', async () => {
    cli = new Cli(scratch.current);
    socket = scratch.current.at('volumes.sock');
    client = new VolumeClient(socket);
    await cli.run('init', '--base-size', '320M', '--data-size', '4G');
    await cli.run('start', '--volume-plugin', socket);
  });

  it('refuses a socket that is another one’s, or that cannot be', async () => {
    const other = new Cli(scratch.current, 'other');
    await other.run('init', '--base-size', '320M');
    const taken = await other.try('start', '--volume-plugin', socket);
    assert.equal(taken.code, 5);
    assert.match(taken.stderr, /a volume plugin already answers on/);
    const nowhere = await other.try('start', '--volume-plugin', '/nowhere/at/all.sock');
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /\/nowhere\/at\/all\.sock cannot be made/);
  });

  it('clones a volume at once while it is written to', async () => {
    await client.create('db');
    const db = await client.mount('db', 'one');
    assert.equal((await stat(db)).mode & 0o777, 0o755);
    await writeFile(path.join(db, 'file'), 'before');
    await client.create('copy', { from: 'db' });
    await writeFile(path.join(db, 'file'), 'after');
    const copy = await client.mount('copy', 'two');
    assert.equal(await readFile(path.join(copy, 'file'), 'utf8'), 'before');
    await writeFile(path.join(copy, 'file'), 'a third');
    assert.equal(await readFile(path.join(db, 'file'), 'utf8'), 'after');
    assert.equal((await client.get('copy')).Status['origin'], 'volume-db');
  });

  it('has another size and filesystem where they are asked for', async () => {
    for (const [Name, options, MiB] of [
      ['large', { size: '1G' }, 1024],
      ['small', { size: '64M', fs: 'ext4' }, 64],
    ] as const) {
      await client.create(Name, options);
      const target = await client.mount(Name, 'three');
      assert.equal(await filesystem(target), Name === 'large' ? 'xfs' : 'ext2/ext3');
      assert.equal(existsSync(path.join(target, 'lost+found')), false);
      const size = Number((await run('df', ['--block-size=1', '--output=size', target])).split('\n')[1]);
      assert(size > MiB * 0.75 * 2 ** 20 && size <= MiB * 2 ** 20, String(size));
      await client.unmount(Name, 'three');
      assert.equal(existsSync(target), false);
    }
  });

  it('does not go from under who uses it', async () => {
    await assert.rejects(client.call('Remove', { Name: 'db' }), /containers have it mounted/);
    const { code, stderr } = await cli.try('rm', 'volume-db');
    assert.equal(code, 5);
    assert.match(stderr, /docker volume rm/);
    const holder = scratch.current.start('sleep', ['600'], { cwd: path.join(cli.root, 'mnt/volume-db') });
    await client.unmount('db', 'one');
    await assert.rejects(client.call('Remove', { Name: 'db' }), /a process works in it/);
    await scratch.current.stop(holder);
  });

  it('has everything after a stop, and after a crash', async () => {
    await client.unmount('copy', 'two');
    await cli.run('stop');
    assert.equal(existsSync(socket), false);
    assert.deepEqual(await loopsUnder(cli.root), []);
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
    await cli.run('start', '--volume-plugin', socket);
    await client.mount('db', 'four');
    await cli.kill();
    await cli.run('start', '--volume-plugin', socket);
    assert.deepEqual(await client.names(), ['copy', 'db', 'large', 'small']);
    const db = await client.mount('db', 'five');
    assert.equal(await readFile(path.join(db, 'file'), 'utf8'), 'after');
    await client.unmount('db', 'five');
  });

  it('gives all space back', async () => {
    for (const Name of await client.names()) await client.call('Remove', { Name });
    await cli.run('stop');
    assert.deepEqual(
      (await cli.json<{ name: string }[]>('ls')).map(({ name }) => name),
      ['base'],
    );
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  });
});

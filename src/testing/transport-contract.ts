import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, open, readdir, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TransportFactory } from '../fuse/transport.js';
import type { ContractRunner } from './contract-runner.js';
import { MemoryDirectory } from './memory-image.js';
import { eventually, mountsOn, tryRun, type Served } from './served-mount.js';
import { bytesContract, failuresContract } from './transport-io-contract.js';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

/** Makes an empty folder to mount on. */
async function emptyFolder(): Promise<string> {
  const folder = path.join(await mkdtemp(path.join(tmpdir(), 'thinfuse-contract-')), 'dev');
  await mkdir(folder);
  return folder;
}

/**
 * What every transport must keep. The tests need root, FUSE, setpriv and xfs_io. This process serves the
 * mount that it tests. So programs that block (dd, cp) run in a child, at most two calls of fs.promises
 * wait on the mount at once, and no file on it is open while a child starts: between fork and exec the
 * child closes its copy, that close is a FLUSH, and this process waits for the exec.
 *
 * @param folder makes the folder that a test mounts on; default: one in the folder for temporary files
 * @param also registers further tests on the same mounts
 */
export function transportContract(
  runner: ContractRunner,
  name: string,
  factory: TransportFactory,
  {
    folder,
    also,
  }: { readonly folder?: () => Promise<string>; readonly also?: (served: () => Served) => void } = {},
): void {
  runner.describe(`Transport: ${name}`, () => {
    let served: Served;

    runner.beforeEach(async () => {
      const directory = new MemoryDirectory();
      const transport = factory(await (folder ?? emptyFolder)(), directory);
      await transport.mount();
      served = { transport, directory, at: (file) => path.join(transport.mountPoint, file) };
    });

    runner.afterEach(async () => {
      const { transport, directory } = served;
      await transport.unmount();
      await transport.ended;
      await eventually(() => [...directory.open.values()].every((count) => count === 0));
      assert.equal(await mountsOn(transport.mountPoint), 0);
      if (folder === undefined) await rm(path.dirname(transport.mountPoint), { recursive: true });
    });

    names(runner, () => served);
    bytesContract(runner, () => served);
    failuresContract(runner, () => served);
    lifetime(runner, () => served, factory);
    also?.(() => served);
  });
}

function names({ it }: ContractRunner, served: () => Served): void {
  it('shows names as the directory has them, without a remount', async () => {
    const { directory, transport, at } = served();
    assert.deepEqual(await readdir(transport.mountPoint), []);
    await assert.rejects(stat(at('a')), { code: 'ENOENT' });
    directory.add('a', MIB);
    directory.add('docker-8:1-2-ünïcode', MIB);
    assert.deepEqual((await readdir(transport.mountPoint)).sort(), ['a', 'docker-8:1-2-ünïcode']);
    assert.equal((await stat(at('docker-8:1-2-ünïcode'))).size, MIB);
    directory.files.delete('a');
    assert.deepEqual(await readdir(transport.mountPoint), ['docker-8:1-2-ünïcode']);
    await assert.rejects(open(at('a')), { code: 'ENOENT' });
  });

  it('lists more names than one reply holds', async () => {
    const { directory, transport } = served();
    const names = Array.from({ length: 3000 }, (_, i) => `docker-254:1-131072-${'x'.repeat(40)}${i}`);
    for (const file of names) directory.add(file, 512);
    assert.deepEqual((await readdir(transport.mountPoint)).sort(), names.sort());
  });

  it('shows size, mapped space, mode and time', async () => {
    const { directory, at, transport } = served();
    const image = directory.add('big', 9 * 1024 ** 4 + 512);
    await image.write(0, Buffer.alloc(100_000, 1));
    const seen = await stat(at('big'));
    assert.equal(seen.size, 9 * 1024 ** 4 + 512);
    assert.equal(seen.blocks * 512, image.mappedBytes);
    assert.equal(seen.mode, 0o100600);
    assert.equal(seen.uid, 0);
    assert.equal(seen.mtimeMs, image.modifiedAt);
    assert.equal((await stat(transport.mountPoint)).mode, 0o040700);
    image.readOnly = true;
    assert.equal((await stat(at('big'))).mode & 0o222, 0);
  });

  it('shows growth at once, to handles that are open too', async () => {
    const { directory, at } = served();
    const image = directory.add('a', MIB);
    const file = await open(at('a'), 'r+');
    try {
      assert.equal((await file.stat()).size, MIB);
      image.size = 5 * GIB;
      assert.equal((await file.stat()).size, 5 * GIB);
      assert.equal((await stat(at('a'))).size, 5 * GIB);
      await file.write(Buffer.from('end'), 0, 3, 5 * GIB - 3);
      const { buffer } = await file.read(Buffer.alloc(3), 0, 3, 5 * GIB - 3);
      assert.equal(buffer.toString(), 'end');
    } finally {
      await file.close();
    }
  });

  it('tells the space of the pool, also beyond 16 TiB', async () => {
    const { directory, transport } = served();
    for (const total of [10 * GIB, 300 * 1024 ** 4]) {
      directory.total = total;
      directory.free = total / 4;
      const { bsize, blocks, bfree, files, ffree } = await statfs(transport.mountPoint);
      assert.deepEqual([bsize * blocks, bsize * bfree], [total, total / 4]);
      // The share of free inodes is that of free space.
      assert.deepEqual([files > 0, ffree / files], [true, 1 / 4]);
    }
  });

  it('keeps others out', async () => {
    const { directory, at, transport } = served();
    directory.add('secret', MIB);
    await chmod(path.dirname(transport.mountPoint), 0o755);
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    const peek = await tryRun('setpriv', [...nobody, 'head', '-c', '1', at('secret')]);
    assert.match(peek.stderr, /Permission denied/);
  });
}

function lifetime({ it }: ContractRunner, served: () => Served, factory: TransportFactory): void {
  it('mounts once and unmounts once, however often it is asked', async () => {
    const { transport, directory } = served();
    directory.add('a', MIB);
    await transport.mount();
    assert.equal(await mountsOn(transport.mountPoint), 1);
    await Promise.all([transport.unmount(), transport.unmount()]);
    await transport.unmount();
  });

  it('says who is in the way, and what is missing', async () => {
    const { transport, directory } = served();
    const second = factory(transport.mountPoint, directory);
    await assert.rejects(second.mount(), { code: 'busy' });
    await second.unmount();
    assert.equal(await mountsOn(transport.mountPoint), 1);
    await assert.rejects(
      factory(path.join(path.dirname(transport.mountPoint), 'nowhere', 'dev'), directory).mount(),
      { code: 'not-found' },
    );
  });

  it('unmounts lazily under an open file', async () => {
    const { transport, directory, at } = served();
    directory.add('a', MIB);
    const holder = spawn('sh', ['-c', `exec 3<'${at('a')}'; echo open; exec sleep 600`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    assert.equal(directory.open.get('a'), 1);
    await transport.unmount();
    await transport.ended;
    assert.equal(await mountsOn(transport.mountPoint), 0);
    holder.kill('SIGKILL');
    await eventually(() => directory.open.get('a') === 0);
  });

  it('waits for requests in flight when it unmounts', async () => {
    const { transport, directory, at } = served();
    const image = directory.add('a', MIB);
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const arrived = new Promise<void>((resolve) => {
      image.before = ({ operation }) => {
        if (operation !== 'read') return undefined;
        resolve();
        return gate;
      };
    });
    const reader = tryRun('head', ['-c', '4096', at('a')]);
    await arrived;
    let unmounted = false;
    const unmounting = transport.unmount().then(() => (unmounted = true));
    await eventually(async () => (await mountsOn(transport.mountPoint)) === 0);
    assert.equal(unmounted, false);
    release();
    assert.equal((await reader).code, 0);
    await unmounting;
    await eventually(() => directory.open.get('a') === 0);
  });

  it('notices an unmount from outside', async () => {
    const { transport, directory } = served();
    directory.add('a', MIB);
    assert.equal((await tryRun('umount', [transport.mountPoint])).code, 0);
    await transport.ended;
    await transport.unmount();
  });

  it('notices an aborted connection', async () => {
    const { transport, directory, at } = served();
    directory.add('a', MIB);
    await tryRun('umount', ['-f', '-l', transport.mountPoint]);
    await transport.ended;
    await assert.rejects(stat(at('a')), { code: 'ENOENT' });
  });

  it('leaves the folder free for the next mount', async () => {
    const { transport, directory } = served();
    await transport.unmount();
    const next = factory(transport.mountPoint, directory);
    await next.mount();
    directory.add('a', MIB);
    assert.deepEqual(await readdir(transport.mountPoint), ['a']);
    await transport.unmount();
    assert.deepEqual(await readdir(transport.mountPoint), ['a']);
    await next.unmount();
  });
}

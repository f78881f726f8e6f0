import assert from 'node:assert/strict';
import {
  chmod,
  lstat,
  mkdir,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { metadataFiles, type ProjectionSource } from '../../src/docker/metadata-files.js';
import { MetadataProjection } from '../../src/docker/projection.js';
import type { DeviceInfo } from '../../src/pool/info.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { device, GIB, poolInfo, transaction } from '../support/pool-values.js';

const base = device(1, 'base');
const image = device(2, 'debian', { origin: base });
const web = device(3, 'web', { origin: image, kind: 'container' });

function source(...devices: readonly DeviceInfo[]): ProjectionSource {
  const last = devices.at(-1)!;
  return {
    info: () => poolInfo(),
    async *eachDevice() {
      yield* await Promise.resolve(devices);
    },
    device: (name) => devices.find((device) => device.name === name),
    watch: () => ({ take: () => new Set(), stop: () => undefined }),
    lastTransaction: () => transaction(last.transactionId, last.name, last.id),
  };
}

describe('docker: metadata projection', () => {
  const scratch = useScratch();
  let top: string;
  let folder: string;

  beforeEach(async () => {
    top = await scratch.current.folder('projection');
    folder = path.join(top, 'metadata');
  });

  async function assertShows(from: ProjectionSource, others: readonly string[] = []): Promise<void> {
    const files = await metadataFiles(from);
    assert.deepEqual((await readdir(folder)).sort(), [...files.keys(), ...others].sort());
    for (const [name, content] of files) {
      const file = path.join(folder, name);
      assert.equal(await readFile(file, 'utf8'), content);
      const { mode } = await lstat(file);
      assert.equal(mode, 0o100600, name);
    }
    assert.equal((await lstat(folder)).mode & 0o777, 0o700);
  }

  async function inodes(): Promise<Record<string, bigint>> {
    const found: Record<string, bigint> = {};
    for (const name of await readdir(folder))
      found[name] = (await lstat(path.join(folder, name), { bigint: true })).ino;
    return found;
  }

  it('makes the folder and every file', async () => {
    await new MetadataProjection(folder).write(source(base, image));
    await assertShows(source(base, image));
  });

  it('writes nothing twice, in one process or the next', async () => {
    const projection = new MetadataProjection(folder);
    await projection.write(source(base, image));
    const before = await inodes();
    await projection.write(source(base, image));
    await new MetadataProjection(folder).write(source(base, image));
    assert.deepEqual(await inodes(), before);
  });

  it('follows changes: new, changed and gone devices', async () => {
    const projection = new MetadataProjection(folder);
    await projection.write(source(base, image));
    const before = await inodes();
    await projection.write(source(base, image, web));
    await assertShows(source(base, image, web));
    const grown = device(3, 'web', { size: 20 * GIB });
    await projection.write(source(base, image, grown));
    await assertShows(source(base, image, grown));
    await projection.write(source(base, image));
    await assertShows(source(base, image));
    const { base: kept, debian } = await inodes();
    assert.deepEqual([kept, debian], [before['base'], before['debian']]);
  });

  it('comes back when the folder is deleted, at once and at the next start', async () => {
    const projection = new MetadataProjection(folder);
    for (let round = 0; round < 3; round++) {
      await projection.write(source(base, image));
      await rm(folder, { recursive: true });
      await projection.write(source(base, image));
      await assertShows(source(base, image));
      await rm(folder, { recursive: true });
      // Made by somebody else, likely with the inode number that just became free.
      await mkdir(folder);
      await projection.write(source(base, image));
      await assertShows(source(base, image));
      await rm(folder, { recursive: true });
    }
    await new MetadataProjection(folder).write(source(base, image));
    await assertShows(source(base, image));
  });

  it('repairs at start what was changed, cut short, widened or left behind', async () => {
    await new MetadataProjection(folder).write(source(base, image, web));
    await writeFile(path.join(folder, 'base'), '{"device_id":7}');
    await writeFile(path.join(folder, 'debian'), '');
    await chmod(path.join(folder, 'deviceset-metadata'), 0o644);
    await chmod(folder, 0o755);
    await writeFile(path.join(folder, '.tmp123456'), 'half a fi');
    await unlink(path.join(folder, 'transaction-metadata'));
    await new MetadataProjection(folder).write(source(base, image));
    await assertShows(source(base, image));
  });

  it('leaves alone what is not its own', async () => {
    await new MetadataProjection(folder).write(source(base));
    await writeFile(path.join(folder, 'notes.txt'), 'mine');
    await mkdir(path.join(folder, 'backup'));
    await symlink('/etc/hostname', path.join(folder, 'link'));
    await run('mkfifo', [path.join(folder, 'pipe')]);
    await new MetadataProjection(folder).write(source(base));
    await assertShows(source(base), ['notes.txt', 'backup', 'link', 'pipe']);
    assert.equal(await readFile(path.join(folder, 'notes.txt'), 'utf8'), 'mine');
  });

  it('replaces links and pipes in the place of its files, and writes through none', async () => {
    const outside = path.join(top, 'outside');
    await writeFile(outside, 'untouched');
    await chmod(outside, 0o644);
    await new MetadataProjection(folder).write(source(base, image, web));
    const planted = async (): Promise<void> => {
      for (const name of ['base', 'transaction-metadata']) {
        await unlink(path.join(folder, name));
        await symlink(outside, path.join(folder, name));
      }
      await unlink(path.join(folder, 'debian'));
      await run('mkfifo', [path.join(folder, 'debian')]);
    };
    await planted();
    await new MetadataProjection(folder).write(source(base, image, web));
    await assertShows(source(base, image, web));
    assert.equal(await readFile(outside, 'utf8'), 'untouched');
    assert.equal((await stat(outside)).mode & 0o777, 0o644);
  });

  it('removes a link in the place of a gone device’s file, not what it points at', async () => {
    const outside = path.join(top, 'outside');
    await writeFile(outside, '{"device_id":3}');
    const projection = new MetadataProjection(folder);
    await projection.write(source(base, web));
    await unlink(path.join(folder, 'web'));
    await symlink(outside, path.join(folder, 'web'));
    await projection.write(source(base));
    await assertShows(source(base));
    assert.equal(await readFile(outside, 'utf8'), '{"device_id":3}');
  });

  it('refuses a folder that is a link or a file, and touches nothing behind it', async () => {
    const elsewhere = path.join(top, 'elsewhere');
    await mkdir(elsewhere);
    await chmod(elsewhere, 0o755);
    await symlink(elsewhere, folder);
    const projection = new MetadataProjection(folder);
    await assert.rejects(projection.write(source(base)), {
      code: 'invalid-argument',
      message: /symbolic link/,
    });
    assert.deepEqual(await readdir(elsewhere), []);
    assert.equal((await stat(elsewhere)).mode & 0o777, 0o755);
    assert.equal(await readlink(folder), elsewhere);
    await unlink(folder);
    await writeFile(folder, 'a file');
    await assert.rejects(projection.write(source(base)), { code: 'invalid-argument' });
    assert.equal(await readFile(folder, 'utf8'), 'a file');
    await unlink(folder);
    await projection.write(source(base));
    await assertShows(source(base));
  });

  it('notices that the folder was swapped for a link while it runs', async () => {
    const elsewhere = path.join(top, 'elsewhere');
    await mkdir(elsewhere);
    const projection = new MetadataProjection(folder);
    await projection.write(source(base));
    await rename(folder, path.join(top, 'moved'));
    await symlink(elsewhere, folder);
    await assert.rejects(projection.write(source(base, image)), { code: 'invalid-argument' });
    assert.deepEqual(await readdir(elsewhere), []);
  });

  it('names a folder in the place of a file', async () => {
    await mkdir(path.join(folder, 'debian'), { recursive: true });
    await assert.rejects(new MetadataProjection(folder).write(source(base, image)), {
      code: 'io',
      message: new RegExp(`EISDIR.*${folder}/debian`),
    });
    assert.deepEqual(await readdir(path.join(folder, 'debian')), []);
  });

  describe('on a full disk', () => {
    requireMounts();

    it('says so, leaves only whole files, and catches up', async () => {
      await mkdir(folder);
      await run('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'none', folder]);
      const projection = new MetadataProjection(folder);
      await projection.write(source(base));
      const filler = path.join(folder, 'filler');
      await writeFile(filler, Buffer.alloc(128 * 1024)).catch(() => undefined);
      await assert.rejects(projection.write(source(base, image)), {
        code: 'no-space',
        message: new RegExp(`disk of ${folder} is full`),
      });
      for (const name of await readdir(folder)) {
        assert.ok(!name.startsWith('.tmp'), name);
        if (name !== 'filler') JSON.parse(await readFile(path.join(folder, name), 'utf8'));
      }
      await rm(filler);
      await projection.write(source(base, image));
      await assertShows(source(base, image));
      await run('umount', [folder]);
    });
  });
});

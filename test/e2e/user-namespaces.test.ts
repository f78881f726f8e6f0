import assert from 'node:assert/strict';
import { mkdir, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { MountMessage } from '../../src/containerd/messages.js';
import { Cli } from '../support/cli.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

const IDMAPPED = path.resolve(import.meta.dirname, '../support/idmapped.py');
const FILES = 3000;
const [UID, GID] = [100_000, 200_000];
/** containerd gives them where the plugin has `capabilities = ["remap-ids"]`. */
const MAPPING = {
  'containerd.io/snapshot/uidmapping': `0:${UID}:65536`,
  'containerd.io/snapshot/gidmapping': `0:${GID}:65536`,
};

interface Listed {
  readonly label: string;
  /** Bytes. */
  readonly exclusive: number;
}

/** Debian's containerd makes no idmapped mounts, so the mount is made here as containerd 2.x makes it. */
describe('end to end: containers in user namespaces', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'python3']);
  const scratch = useScratch();
  let cli: Cli;

  before('a pool', async () => {
    cli = new Cli(scratch.current, 'pool');
    await cli.run('init', '--base-size', '512M', '--data-size', '4G');
    await cli.run(
      'start',
      '--snapshotter',
      'ext4,fs=ext4',
      '--snapshotter',
      'xfs,fs=xfs',
      '--snapshotter',
      'loop,mounts=loop',
    );
  });

  async function within([mount]: readonly MountMessage[], script: string): Promise<string> {
    assert(mount !== undefined);
    assert.deepEqual(
      mount.options.filter((option) => option.includes('map=')),
      [`uidmap=0:${UID}:65536`, `gidmap=0:${GID}:65536`],
    );
    const target = scratch.current.at('mapped');
    await mkdir(target, { recursive: true });
    return run('python3', [IDMAPPED, mount.type, mount.source, target, `${UID}`, `${GID}`, script]);
  }

  async function exclusiveOf(key: string): Promise<number> {
    const found = (await cli.json<Listed[]>('ls')).find(({ label }) => label.includes(`"key":"${key}"`));
    return found?.exclusive ?? assert.fail(`no device of ${key}`);
  }

  for (const name of ['ext4', 'xfs', 'loop'])
    it(`see the files of an image as their own in ${name}, at no cost for each of them`, async () => {
      const client = new SnapshotClient(path.join(cli.root, `snapshotter-${name}.sock`));
      after(() => client.close());
      const image = await client.prepare('extract', '', { 'containerd.io/snapshot/thinfuse.mounts': 'bind' });
      const root = image[0]?.source ?? '';
      await run(
        'sh',
        ['-euc', `mkdir files; for i in $(seq ${FILES}); do : > files/$i; done; chown 7:8 files/1`],
        { cwd: root },
      );
      await client.commit('image', 'extract');

      const mounts = await client.prepare('container', 'image', MAPPING);
      const said = await within(
        mounts,
        'find files -type f -uid 0 -gid 0 | wc -l; stat -c %u:%g files/1; echo new > new; chown 5:6 new; id -u',
      );
      assert.deepEqual(said.trim().split('\n'), [`${FILES - 1}`, '7:8', '0']);

      const view = await client.view('mapped-view', 'image', MAPPING);
      assert.match(
        await within(view, 'stat -c %u:%g files/1 files/2; echo no > files/3 || true; cat files/3'),
        /^7:8\n0:0\n$/,
      );
      await client.remove('mapped-view');

      // On the disk, and so in what is committed, they are those of the image.
      await client.commit('changed', 'container');
      const seen = (await client.view('view', 'changed'))[0];
      assert(seen !== undefined);
      const target = scratch.current.at('plain');
      await mkdir(target, { recursive: true });
      const type = seen.type === 'bind' ? [] : ['-t', seen.type];
      await run('mount', [...type, '-o', seen.options.join(','), seen.source, target]);
      const owners = async (file: string): Promise<number[]> => {
        const { uid, gid } = await stat(path.join(target, file));
        return [uid, gid];
      };
      assert.deepEqual(await owners('new'), [5, 6]);
      assert.deepEqual(await owners('files/1'), [7, 8]);
      assert.deepEqual(await owners('files/2'), [0, 0]);
      assert.equal((await readdir(path.join(target, 'files'))).length, FILES);
      await run('umount', [target]);

      // Inodes of 3000 files are 750 KiB and more.
      await client.prepare('plain', 'image');
      await within(await client.prepare('mapped', 'image', MAPPING), 'ls files | wc -l');
      const [plain, mapped] = [await exclusiveOf('plain'), await exclusiveOf('mapped')];
      assert(mapped <= plain + 3 * 2 ** 20, `${mapped} and ${plain} bytes`);
      for (const key of ['plain', 'mapped', 'view', 'changed', 'image']) await client.remove(key);
    });
});

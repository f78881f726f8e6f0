import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cli } from '../support/cli.js';
import { requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

/** More than LevelDB's log holds, so that its own threads make tables. */
const MUCH = '150M';

describe('end to end: who may read files', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.ext4']);
  const scratch = useScratch();

  /** Files below a root that others may open; what is mounted there is no part of it. */
  async function openToOthers(root: string): Promise<string> {
    const { stdout } = await tryRun('find', [root, '-xdev', '-type', 'f', '-perm', '/077']);
    return stdout;
  }

  async function modes(...places: readonly string[]): Promise<string[]> {
    return Promise.all(places.map(async (place) => ((await stat(place)).mode & 0o777).toString(8)));
  }

  it('is its owner alone below the root, and whom the user’s umask says elsewhere', async () => {
    const before = process.umask(0o022);
    try {
      const cli = new Cli(scratch.current);
      await cli.run('init', '--fs', 'ext4', '--base-size', '512M', '--data-size', '4G');
      await cli.run('start');
      const [tar, top] = [scratch.current.at('image.tar'), scratch.current.at('top')];
      await mkdir(path.join(top, 'a/b'), { recursive: true });
      await writeFile(path.join(top, 'a/b/c'), 'c');
      // It names the file only: tar makes the folders as its umask says.
      await run('tar', ['-C', top, '-cf', tar, 'a/b/c']);
      await cli.run('image', 'create', 'image', '--from', tar);
      await cli.run('container', 'create', 'box', '--image', 'image');
      const mounted = (await cli.run('mount', 'box')).trim();
      const unpacked = ['', 'rootfs', 'rootfs/a', 'rootfs/a/b', 'rootfs/a/b/c'];
      assert.deepEqual(await modes(...unpacked.map((name) => path.join(mounted, name))), [
        ...['755', '755', '755', '755', '644'],
      ]);
      await run('sh', [
        '-c',
        `head -c ${MUCH} /dev/urandom >"$1" && sync "$1"`,
        'sh',
        path.join(mounted, 'big'),
      ]);
      assert.equal(await openToOthers(cli.root), '');
      await cli.run('stop');

      await cli.run('snapshot', 'snap', 'box');
      const [dump, repaired] = [scratch.current.at('dump.xml'), scratch.current.at('repaired')];
      await cli.run('dump', '--output', dump);
      assert.deepEqual(await modes(dump), ['644']);
      await cli.run('repair', '--output', repaired);
      for (const root of [cli.root, repaired]) assert.equal(await openToOthers(root), '');

      // As programs of before left them.
      const pool = path.join(cli.root, 'devicemapper');
      const names = await readdir(pool);
      for (const name of names) await chmod(path.join(pool, name), 0o644);
      await cli.run('start');
      assert.equal(await openToOthers(cli.root), '');
      await cli.run('stop');
    } finally {
      process.umask(before);
    }
  });
});

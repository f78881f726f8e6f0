import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CLI_COMMAND } from '../support/cli.js';
import { requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

const PAGE = path.resolve(import.meta.dirname, '../../docs/migrating-from-devicemapper.md');

describe("end to end: Docker's manual, as the page on migrating has it", function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'losetup', 'wipefs']);
  const scratch = useScratch();
  let disk: string;

  before(async () => {
    const image = scratch.current.at('disk.img');
    await run('truncate', ['-s', '2G', image]);
    disk = (await run('losetup', ['--find', '--show', image])).trim();
    scratch.current.defer(async () => {
      await run('losetup', ['--detach', disk]);
    });
    await writeFile(
      scratch.current.at('daemon.json'),
      JSON.stringify({ 'storage-opts': [`dm.directlvm_device=${disk}`, 'dm.basesize=400M'] }),
    );
  });

  /** Every command must succeed; `thinfuse` is this checkout's, on a root of its own. */
  const shell = (text: string): ReturnType<typeof tryRun> =>
    tryRun('bash', ['-euo', 'pipefail', '-c', text], {
      env: { ...process.env, THINFUSE_ROOT: scratch.current.at('root') },
    });
  const here = (text: string): string =>
    text
      .replaceAll('/dev/xvdf', disk)
      .replaceAll('/etc/docker/daemon.json', scratch.current.at('daemon.json'))
      .replaceAll(/^thinfuse /gm, `${CLI_COMMAND.join(' ')} `);

  it('runs every command of the page, and leaves nothing on the disk', async () => {
    const page = await readFile(PAGE, 'utf8');
    const blocks = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
    assert.equal(blocks.length, 2);
    const [walk = '', configured = ''] = blocks;
    const walked = await shell(here(walk));
    assert.equal(walked.code, 0, walked.stderr);
    assert.match(walked.stdout, new RegExp(`Data file: ${disk}$`, 'm'));
    assert.match(walked.stdout, new RegExp(`^${path.basename(disk)} +7:\\d+ .* disk$`, 'm'));
    assert.match(walked.stdout, new RegExp(`wiped its label from ${disk}$`, 'm'));
    assert.equal(await run('wipefs', [disk]), '');
    const made = await shell(here(`${configured}thinfuse info\nthinfuse destroy --yes\n`));
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, new RegExp(`Data file: ${disk}$`, 'm'));
  });

  it('refuses a file that names a pool of the kernel, and says where to name the disk', async () => {
    const config = scratch.current.at('kernel.json');
    for (const option of ['dm.thinpooldev=/dev/mapper/docker-thinpool', 'dm.metadatadev=/dev/xvdg']) {
      await writeFile(config, JSON.stringify({ 'storage-opts': [option] }));
      const { code, stderr } = await shell(here(`thinfuse init --config ${config}`));
      assert.equal(code, 2);
      assert.match(stderr, /--data PATH/);
    }
  });

  it('asks before it ends a pool', async () => {
    const { code, stderr } = await shell(
      here('thinfuse init --base-size 400M --data-size 1G\nthinfuse destroy'),
    );
    assert.equal(code, 2);
    assert.match(stderr, /with 1 device and .* destroy --yes --root/s);
    assert.equal((await shell(here('thinfuse check\nthinfuse destroy --yes'))).code, 0);
  });
});

import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Cli } from '../support/cli.js';
import { loopsUnder, requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

const FILE_BYTES = 70_000;
/** Writes numbered files as fast as they become durable, and prints the number of each that is. */
const WRITER = `i=0; while :; do i=$((i+1)); head -c ${FILE_BYTES} /dev/urandom > f$i.tmp && mv f$i.tmp f$i && sync f$i . && echo $i; done`;
const SNAPSHOTS = 4;
const CHECKERS = { xfs: ['xfs_repair', '-n'], ext4: ['e2fsck', '-fn'] } as const;

for (const filesystem of ['xfs', 'ext4'] as const)
  describe(`snapshots of a container under load on ${filesystem}`, function () {
    this.timeout(300_000);
    requireMounts([`mkfs.${filesystem}`, 'fsfreeze', CHECKERS[filesystem][0]]);
    const scratch = useScratch();

    it('hold what was durable before them, mount without complaint, and pass a check', async () => {
      const cli = new Cli(scratch.current);
      await cli.run('init', '--fs', filesystem, '--base-size', '512M', '--data-size', '8G');
      await cli.run('start');
      await cli.run('image', 'create', 'empty');
      await cli.run('container', 'create', 'busy', '--image', 'empty');
      const mountPoint = (await cli.run('mount', 'busy')).trim();
      const [busyLoop = ''] = await loopsUnder(cli.root);
      const loudBefore = (await kernelLog()).length;

      const writer = scratch.current.start('sh', ['-c', WRITER], {
        cwd: path.join(mountPoint, 'rootfs'),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      assert(writer.stdout !== null);
      let durable = 0;
      const lines = createInterface({ input: writer.stdout });
      const first = new Promise((resolve) => lines.once('line', resolve));
      lines.on('line', (text) => (durable = Number(text)));
      await first;

      const promised: number[] = [];
      for (let index = 0; index < SNAPSHOTS; index++) {
        promised.push(durable);
        await cli.run('snapshot', `snap${index}`, 'busy');
      }
      const before = durable;
      await new Promise((resolve) => lines.once('line', resolve));
      assert(durable > before, 'the container goes on after the last snapshot');
      const ended = new Promise((resolve) => writer.once('exit', resolve));
      writer.kill('SIGKILL');
      await ended;

      for (const [index, least] of promised.entries()) {
        const name = `snap${index}`;
        const loudSince = (await kernelLog()).length;
        const folder = path.join((await cli.run('mount', name)).trim(), 'rootfs');
        const names = new Set(await readdir(folder));
        for (let file = 1; file <= least; file++) {
          assert(names.has(`f${file}`), `${name} has no f${file} of ${least}`);
          assert.equal((await stat(path.join(folder, `f${file}`))).size, FILE_BYTES);
        }
        const same = await Promise.all(
          [folder, path.join(mountPoint, 'rootfs')].map((from) => readFile(path.join(from, `f${least}`))),
        );
        assert(same[0]?.equals(same[1] ?? Buffer.alloc(0)));
        for (const loop of await loopsUnder(cli.root))
          if (loop !== busyLoop) assert.deepEqual(await complaints(loop, loudSince), []);
        await cli.run('umount', name);
      }
      assert.deepEqual(await complaints(busyLoop, loudBefore), []);

      const image = (await cli.run('activate', 'snap0')).trim();
      const loop = await scratch.current.attach(image, { readOnly: true });
      await run(CHECKERS[filesystem][0], [...CHECKERS[filesystem].slice(1), loop]);
      await scratch.current.detach(loop);
      await cli.run('umount', 'busy');
      await cli.run('stop');
      await cli.run('check');
    });
  });

/** Of a loop device that was this test's all the time; others may belong to tests that run beside it. */
async function complaints(loop: string, since: number): Promise<string[]> {
  const lines = (await kernelLog()).slice(since);
  return lines.filter((line) => COMPLAINT.test(line) && line.includes(`(${path.basename(loop)})`));
}

const COMPLAINT = /(XFS|EXT4-fs).*(error|corrupt|fail|shut|abort)/i;

async function kernelLog(): Promise<string[]> {
  const { code, stdout } = await tryRun('dmesg', []);
  return code === 0 ? stdout.split('\n') : [];
}

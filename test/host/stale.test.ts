import assert from 'node:assert/strict';
import { mkdir, open, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ChildProcessExec } from '../../src/host/exec.js';
import { FilesystemTools } from '../../src/host/filesystem-tools.js';
import { LOOP_LIMITS, LoopDevices, type LoopDevice } from '../../src/host/loop-devices.js';
import { parseMountTable } from '../../src/format/mount-info.js';
import { MountTable } from '../../src/host/mount-table.js';
import { Mounter } from '../../src/host/mounter.js';
import { StaleCleaner, planStale } from '../../src/host/stale.js';
import { eventually } from '../support/eventually.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';

const TABLE = new MountTable(
  parseMountTable(`21 1 254:0 / / rw - ext4 /dev/vda rw
40 21 0:50 / /r/dev rw - fuse.thinfuse thinfuse rw
30 21 7:3 / /r/mnt/a rw - xfs /dev/loop3 rw
22 30 0:22 / /r/mnt/a/rootfs/proc rw - proc proc rw
31 21 7:4 / /elsewhere rw - ext4 /dev/loop4 rw
32 21 7:3 /rootfs /bound rw - xfs /dev/loop3 rw
33 21 7:5 / /r/mnt/foreign rw - ext4 /dev/loop5 rw
34 21 0:60 / /r/mnt/tmp rw - tmpfs none rw
41 21 0:61 / /r/space ro - overlay thinfuse-space ro,lowerdir=/r/dev:/r/space
`),
);
const loop = (n: number, backingFile: string): LoopDevice => ({
  device: `/dev/loop${n}`,
  backingFile,
  deleted: false,
  readOnly: false,
  directIo: true,
  autoclear: false,
});
const LOOPS = [
  loop(3, '/r/dev/docker-1:2-3-a'),
  loop(4, '/docker-1:2-3-b'),
  loop(5, '/home/disk.img'),
  loop(6, '/r/dev/docker-1:2-3-c'),
  loop(7, '/docker-1:2-33-b'),
  loop(8, '/home/docker-1:2-3-b'),
];

describe('planStale', () => {
  it('unmounts what stands on image files and inside, newest first, then detaches, then takes the FUSE mount', () => {
    assert.deepEqual(
      planStale(TABLE, LOOPS, { devices: '/r/dev', space: '/r/space', imagePrefix: 'docker-1:2-3-' }),
      [
        { kind: 'abort', target: '/r/dev' },
        { kind: 'unmount', target: '/bound', source: '/dev/loop3' },
        { kind: 'unmount', target: '/elsewhere', source: '/dev/loop4' },
        { kind: 'unmount', target: '/r/mnt/a/rootfs/proc', source: 'proc' },
        { kind: 'unmount', target: '/r/mnt/a', source: '/dev/loop3' },
        { kind: 'detach', loop: '/dev/loop3', backingFile: '/r/dev/docker-1:2-3-a' },
        { kind: 'detach', loop: '/dev/loop4', backingFile: '/docker-1:2-3-b' },
        { kind: 'detach', loop: '/dev/loop6', backingFile: '/r/dev/docker-1:2-3-c' },
        { kind: 'unmount', target: '/r/space', source: 'thinfuse-space' },
        { kind: 'unmount', target: '/r/dev', source: 'thinfuse' },
      ],
    );
  });

  it('leaves a lazily unmounted file alone without a prefix to know it by, and the FUSE mount when asked', () => {
    const steps = planStale(TABLE, LOOPS, { devices: '/r/dev', keepDevices: true });
    assert.deepEqual(
      steps.filter((step) => step.kind === 'detach').map((step) => step.loop),
      ['/dev/loop3', '/dev/loop6'],
    );
    assert(
      steps.every((step) => step.kind !== 'abort' && (step.kind !== 'unmount' || step.target !== '/r/dev')),
    );
  });

  it('has nothing to do for a root that is clean', () => {
    assert.deepEqual(planStale(TABLE, LOOPS, { devices: '/other/dev' }), []);
  });
});

describe('StaleCleaner', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'fsfreeze']);
  const scratch = useScratch();
  const exec = new ChildProcessExec();
  const loops = new LoopDevices(exec);
  const filesystems = new FilesystemTools(exec);
  const mounter = new Mounter(exec, loops, filesystems);
  const cleaner = new StaleCleaner(exec, new LoopDevices(exec, { ...LOOP_LIMITS, settleMs: 500 }));

  async function image(devices: string, name: string): Promise<string> {
    const file = path.join(devices, name);
    await (await open(file, 'w')).close();
    await truncate(file, 320 * 1024 * 1024);
    await mounter.format(file, 'xfs');
    return file;
  }

  it('clears mounts with mounts in them, frozen ones, ones in use, and loop devices without one', async () => {
    const root = await scratch.current.folder('root');
    const devices = path.join(root, 'dev');
    await mkdir(devices);
    const names = ['a', 'b', 'c'];
    const targets: string[] = [];
    for (const name of names) {
      const target = path.join(root, 'mnt', name);
      await mkdir(target, { recursive: true });
      await mounter.mount({ image: await image(devices, name), target, filesystem: 'xfs', readOnly: false });
      targets.push(target);
    }
    const [a = '', b = '', c = ''] = targets;
    await mkdir(path.join(a, 'inner'));
    await run('mount', ['-t', 'tmpfs', 'none', path.join(a, 'inner')]);
    await filesystems.freeze(b);
    const user = scratch.current.start('sleep', ['600'], { cwd: c });
    const lone = await loops.attach(await image(devices, 'd'));
    const foreign = path.join(root, 'foreign.img');
    await writeFile(foreign, Buffer.alloc(4096));
    const kept = await loops.attach(foreign);

    const report = await cleaner.clear({ devices });
    await scratch.current.stop(user);
    const attached = async (): Promise<string[]> =>
      (await loops.list()).map((loop) => loop.backingFile).filter((file) => file.startsWith(`${devices}/`));
    await eventually('each loop device is gone', async () => (await attached()).length === 0);

    assert.deepEqual(report.left, []);
    assert(report.done.some((words) => words.includes(lone.device)));
    assert(report.done.some((words) => words.includes(c) && words.includes('lazily')));
    assert.deepEqual((await MountTable.read()).below(root), []);
    assert.equal((await loops.get(kept.device))?.backingFile, foreign);
    await loops.detach(kept.device, foreign);
    assert.deepEqual(await cleaner.clear({ devices }), { done: [], left: [] });
  });
});

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { DoctorReport } from '../../src/api/doctor-report.js';
import { eventually } from '../support/eventually.js';
import { Cli } from '../support/cli.js';
import { holdInNamespace } from '../support/mount-namespace.js';
import { loopsUnder, mounts, requireMounts, run, useScratch } from '../support/mounts.js';

describe('busy devices', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'unshare']);
  const scratch = useScratch();
  let cli: Cli;

  const states = async (): Promise<Record<string, string>> => {
    const lines = (await cli.run('ls')).trim().split('\n').slice(1);
    return Object.fromEntries(lines.map((line) => [line.split(/\s+/)[0] ?? '', line.split(/\s+/)[8] ?? '']));
  };
  const field = async (name: string): Promise<unknown> =>
    (await cli.json<Record<string, unknown>>('info'))[name];
  const gone = async (name: string): Promise<void> => {
    await eventually(`${name} is gone`, async () => !(name in (await states())));
  };

  before('make a pool and start it', async () => {
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '512M', '--data-size', '2G');
    await cli.run('start');
    await cli.run('image', 'create', 'debian');
  });

  it('marks a container deleted while a process works in it; listings and info show that', async () => {
    await cli.run('container', 'create', 'web', '--image', 'debian');
    const mountPoint = (await cli.run('mount', 'web')).trim();
    const holder = scratch.current.start('sleep', ['600'], { cwd: mountPoint });
    const { code, stdout, stderr } = await cli.try('rm', 'web');
    assert.deepEqual([code, stdout], [0, 'web\n']);
    assert.match(stderr, /web is in use: the daemon has marked it deleted/);
    assert.equal((await states())['web'], 'deleted');
    assert.equal(await field('deferredDeletion'), true);
    assert.equal(await field('deferredDeletedDevices'), 1);
    assert.match(await cli.run('doctor'), /note: web: .*kept by sleep \(pid \d+\)/);
    assert.equal((await cli.try('umount', 'web')).code, 5);
    await scratch.current.stop(holder);
    // It is gone already where the daemon's own next try came first.
    assert.match((await cli.try('umount', 'web')).stderr, /^$|no device web/);
    assert.equal('web' in (await states()), false);
    assert.equal(await field('deferredDeletedDevices'), 0);
  });

  it('removes a device with its last mount, in whatever namespace that is', async () => {
    await cli.run('container', 'create', 'db', '--image', 'debian');
    // One that thinfuse made would go with the mount, and take the mounts of other namespaces on it along.
    const target = await scratch.current.folder('target');
    await cli.run('mount', 'db', target);
    const holder = await holdInNamespace(scratch.current, target);
    await cli.run('umount', 'db');
    await cli.run('rm', 'db');
    assert.equal((await states())['db'], 'deleted');
    await scratch.current.stop(holder);
    await gone('db');
    assert.deepEqual(await loopsUnder(cli.root), []);
  });

  it('remembers after a crash what is to go, and leaves nothing of it', async () => {
    await cli.run('container', 'create', 'job', '--image', 'debian');
    const mountPoint = (await cli.run('mount', 'job')).trim();
    const holder = scratch.current.start('sleep', ['600'], { cwd: mountPoint });
    await cli.run('rm', 'job');
    await cli.kill();
    const { code, stdout } = await cli.try('doctor');
    assert.equal(code, 1);
    for (const words of [
      /dev: it is the image folder of a daemon that died/,
      /sleep \(pid/,
      /thinfuse\.sock/,
    ])
      assert.match(stdout, words);
    assert.equal((await states())['job'], 'deleted');
    await cli.run('start');
    assert.equal('job' in (await states()), false);
    await scratch.current.stop(holder);
    assert.equal(await cli.run('doctor'), 'nothing is left over or in the way\n');
  });

  it('mends what a crash left, without a daemon', async () => {
    await cli.run('container', 'create', 'left', '--image', 'debian');
    await cli.run('mount', 'left');
    await cli.kill();
    const { findings, left } = await cli.json<DoctorReport>('doctor', '--fix');
    assert.equal(left, 0, JSON.stringify(findings));
    assert.ok(findings.some(({ kind, mended }) => kind === 'stale-mount' && mended));
    assert.deepEqual(await loopsUnder(cli.root), []);
    assert.deepEqual(
      (await mounts()).filter(({ target }) => target.startsWith(cli.root)),
      [],
    );
    await cli.run('start');
  });

  it('lets go of what somebody unmounted by hand, and brings lost records back', async () => {
    const mountPoint = (await cli.run('mount', 'left')).trim();
    await run('umount', [mountPoint]);
    await rm(path.join(cli.root, 'metadata/left'));
    await writeFile(path.join(cli.root, 'metadata/nobody'), '{"device_id":99}');
    await mkdir(path.join(cli.root, 'mnt/old'));
    const found = await cli.json<DoctorReport>('doctor', '--fix');
    assert.deepEqual(found.findings.map(({ kind, mended }) => `${kind} ${mended}`).sort(), [
      'leftover-folder true',
      'leftover-folder true',
      'lost-mount true',
      'projection true',
      'projection true',
    ]);
    assert.ok(existsSync(path.join(cli.root, 'metadata/left')));
    assert.equal((await states())['left'], 'inactive');
    assert.equal((await cli.try('doctor', '--mend')).code, 2);
    assert.match(await cli.run('check'), /no problem found/);
  });
});

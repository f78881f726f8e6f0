import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, readlink, rename, rm, stat, truncate } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { verifyPages } from '../../scripts/torture/contents.js';
import { readPlace } from '../../scripts/torture/places.js';
import { WriterProcess } from '../../scripts/torture/writer-process.js';
import type { PoolKind } from '../../src/pool/info.js';
import { Cli, supervisorOf } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { loopsUnder, mounts, requireMounts, useScratch } from '../support/mounts.js';

const RESTARTS = Number(process.env['THINFUSE_RESTARTS'] ?? 3);

for (const pool of ['leveldb', 'direct'] as const satisfies readonly PoolKind[])
  describe(`a daemon that is replaced under its mounts (${pool})`, function () {
    this.timeout(300_000);
    requireMounts(['mkfs.xfs', 'fsfreeze']);
    const scratch = useScratch();
    let cli: Cli;
    let writer: WriterProcess;
    let mountPoint = '';

    before('make a pool and start it', async () => {
      cli = new Cli(scratch.current);
      const data = pool === 'direct' ? scratch.current.at('data.img') : 'leveldb';
      await cli.run('init', '--data', data, '--data-size', '2G', '--base-size', '512M');
      await cli.run('start', '--supervised');
      await cli.run('snapshot', 'work', 'base');
      mountPoint = (await cli.run('mount', 'work')).trim();
      const journal = scratch.current.at('journal');
      writer = new WriterProcess({ number: 0, device: 'work', kind: 'files', journal, seed: 1 });
      scratch.current.defer(() => {
        writer.end();
      });
    });

    const verify = async (): Promise<Uint32Array> => {
      const { begun, acknowledged } = writer.progress;
      const bytes = await readPlace('files', mountPoint);
      const { sequences } = verifyPages(bytes, 0, { least: acknowledged, most: begun });
      return sequences;
    };

    it('goes on below whoever writes, who notices nothing', async () => {
      await writer.write(mountPoint);
      // The pid file is written after the socket answers.
      const pidOf = async (): Promise<number> => (await cli.call('status', {})).pid;
      const pids = new Set([await pidOf()]);
      for (let restart = 0; restart < RESTARTS; restart++) {
        await sleep(300);
        await cli.run('restart');
        pids.add(await pidOf());
      }
      assert.equal(pids.size, RESTARTS + 1);
      await sleep(300);
      assert.equal((await writer.pause()).error, undefined);
      await verify();
    });

    it('goes on however soon the next restart comes: none is a failure', async () => {
      await writer.write(mountPoint);
      for (let restart = 0; restart < 5; restart++) {
        const { pid } = await cli.call('status', {});
        await cli.call('restart', {});
        await eventually('the next daemon serves', () =>
          cli.call('status', {}).then(
            (status) => status.pid !== pid,
            () => false,
          ),
        );
      }
      assert.equal((await writer.pause()).error, undefined);
      await verify();
    });

    it('knows what was mounted before it', async () => {
      assert.equal((await cli.run('mount', 'work')).trim(), mountPoint);
      await cli.run('snapshot', 'later', 'work');
      await cli.run('umount', 'work');
      await cli.run('mount', 'work');
      await verify();
      assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
    });

    it('goes on in a new log, as its supervisor does, after somebody renamed the old one', async () => {
      const log = path.join(cli.root, 'thinfuse.log');
      await rename(log, `${log}.old`);
      process.kill(await supervisorOf(await cli.daemonPid()), 'SIGHUP');
      await eventually('there is a new log', () => existsSync(log));
      await cli.die();
      await eventually('the supervisor has told of it', async () =>
        (await readFile(log, 'utf8')).includes('the next one goes on below its mounts'),
      );
      const { pid } = await cli.call('status', {});
      assert.equal(await readlink(`/proc/${pid}/fd/2`), log);
      await rm(`${log}.old`);
    });

    it('is followed when it dies, and whoever writes notices nothing then either', async () => {
      await writer.write(mountPoint);
      for (let death = 0; death < RESTARTS; death++) {
        await sleep(1200);
        await cli.die();
      }
      await sleep(300);
      assert.equal((await writer.pause()).error, undefined);
      await verify();
      assert.equal((await cli.run('mount', 'work')).trim(), mountPoint);
      await cli.run('snapshot', 'after-death', 'work');
      assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
    });

    it('begins anew where what it left was cut, and leaves no mount of before', async () => {
      await cli.run('umount', 'work');
      const own = scratch.current.at('cut');
      await mkdir(own);
      await cli.run('snapshot', 'cut', 'work');
      await cli.run('mount', 'cut', own);
      const file = await open(path.join(own, 'kept'), 'w');
      await file.writeFile('synced');
      await file.sync();
      await file.close();
      const { pid } = await cli.call('status', {});
      // Nothing is added to what was cut.
      process.kill(pid, 'SIGSTOP');
      const left = path.join(cli.root, 'handover.json');
      await truncate(left, Math.floor((await stat(left)).size / 2));
      await cli.die(pid);
      assert.equal(
        (await mounts()).some(({ target }) => target === own),
        false,
      );
      assert.deepEqual(await loopsUnder(cli.root), []);
      await cli.run('mount', 'cut', own);
      assert.equal(await readFile(path.join(own, 'kept'), 'utf8'), 'synced');
      await cli.run('umount', 'cut');
      await cli.run('rm', 'cut');
      await cli.run('mount', 'work');
    });

    it('serves on when its supervisor dies, and where it dies after it, its mounts fail at once until the next start', async () => {
      await writer.write(mountPoint);
      await sleep(200);
      await cli.killSupervisor();
      await sleep(300);
      assert.equal((await writer.pause()).error, undefined);
      await verify();
      await writer.write(mountPoint);
      await sleep(200);
      await cli.kill();
      assert.notEqual((await writer.stopped()).error, undefined);
      await cli.run('start', '--supervised');
      await cli.run('mount', 'work');
      const { synced, begun } = writer.progress;
      verifyPages(await readPlace('files', mountPoint), 0, { least: synced, most: begun });
    });

    it('says what it takes where nobody holds its mounts', async () => {
      await cli.run('stop');
      await cli.run('start');
      const refused = await cli.try('restart');
      assert.match(refused.stderr, /--supervised/);
      assert.notEqual(refused.code, 0);
      await cli.run('mount', 'work');
    });

    it('leaves nothing behind when it stops', async () => {
      await cli.run('stop');
      assert.notEqual((await cli.try('restart')).code, 0);
      assert.deepEqual(await loopsUnder(cli.root), []);
      assert.deepEqual(
        (await mounts()).filter(({ target }) => target.startsWith(cli.root)),
        [],
      );
      assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
    });
  });

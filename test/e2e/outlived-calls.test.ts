import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { Cli, CLI_COMMAND } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { loopsUnder, requireMounts, useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';
import { VolumeClient } from '../support/volume-client.js';

const SERVED_MS = 2500;
const DEATHS = Number(process.env['THINFUSE_DEATHS'] ?? 2);

describe('end to end: calls that outlive a daemon', function () {
  this.timeout(180_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'fsfreeze']);
  const scratch = useScratch();
  let cli: Cli;
  let snapshots: SnapshotClient;
  let volumes: VolumeClient;

  before('a pool, supervised', async () => {
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '512M', '--data-size', '4G');
    const plugin = scratch.current.at('volumes.sock');
    await cli.run('start', '--supervised', '--snapshotter', '--volume-plugin', plugin);
    snapshots = new SnapshotClient(path.join(cli.root, 'snapshotter.sock'));
    volumes = new VolumeClient(plugin);
  });
  after(() => snapshots.close());

  /** A supervisor gives up after daemons that serve for less than a second, one after the other. */
  async function hasServed(): Promise<void> {
    const { startedAt } = await cli.call('status', {});
    await eventually('it has served for a while', () => Date.now() - startedAt > SERVED_MS);
  }

  /** The daemon, and another one serves. */
  async function dies(): Promise<void> {
    await hasServed();
    const { pid } = await cli.call('status', {});
    process.kill(pid, 'SIGKILL');
    const next = async (): Promise<boolean> =>
      cli.call('status', {}).then(
        (status) => status.pid !== pid,
        () => false,
      );
    await eventually('another daemon serves', next);
  }

  /** Layers one on the other, as an unpacking has them; each call has to succeed. */
  async function layers(name: string, goesOn: () => boolean): Promise<number> {
    let parent = '';
    let made = 0;
    while (goesOn()) {
      const key = `${name}-extract-${made}`;
      const [bind] = await snapshots.prepare(key, parent);
      assert(bind !== undefined);
      await writeFile(path.join(bind.source, `${made}`), name);
      await snapshots.commit(`${name}-${made}`, key);
      const [view] = await snapshots.view(`${name}-view`, `${name}-${made}`);
      assert(view !== undefined);
      assert.equal(readdirSync(view.source).filter((file) => /^\d+$/.test(file)).length, made + 1);
      await snapshots.remove(`${name}-view`);
      parent = `${name}-${made++}`;
    }
    return made;
  }

  async function mountAll(goesOn: () => boolean): Promise<number> {
    let made = 0;
    while (goesOn()) {
      await volumes.create('volume');
      const target = await volumes.mount('volume', 'one');
      await writeFile(path.join(target, 'file'), '');
      await volumes.unmount('volume', 'one');
      await volumes.call('Remove', { Name: 'volume' });
      made++;
    }
    return made;
  }

  it('succeed whenever it dies or is replaced', async () => {
    let over = false;
    const goesOn = (): boolean => !over;
    const workers = Promise.all([layers('a', goesOn), layers('b', goesOn), mountAll(goesOn)]);
    const has = async (committed: number): Promise<void> => {
      const found = async (): Promise<boolean> =>
        (await snapshots.list('kind==committed')).length >= committed;
      await eventually('there are more layers', found);
    };
    const deaths = async (): Promise<void> => {
      for (let death = 0; death < DEATHS; death++) {
        await has((await snapshots.list('kind==committed')).length + 3);
        await dies();
      }
      await hasServed();
      await cli.run('restart');
      await has((await snapshots.list('kind==committed')).length + 2);
    };
    try {
      await Promise.race([deaths(), workers]);
    } finally {
      over = true;
    }
    const [a, b] = await workers;
    const { length } = await snapshots.list();
    assert.equal(length, a + b);
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  });

  it('reach a daemon whose supervisor has died', async () => {
    await cli.killSupervisor();
    await eventually('it listens itself', async () =>
      snapshots.stat('a-0').then(
        () => true,
        () => false,
      ),
    );
    await volumes.create('later');
    await cli.run('stop');
    assert.equal(existsSync(path.join(cli.root, 'snapshotter.sock')), false);
    assert.deepEqual(await loopsUnder(cli.root), []);
  });
});

interface Manager {
  readonly manager: ChildProcess;
  /** Its exit code and signal. */
  readonly ended: Promise<unknown[]>;
}

describe('end to end: sockets of a service manager', function () {
  this.timeout(180_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4']);
  const scratch = useScratch();
  let cli: Cli;

  before('a pool', async () => {
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '512M', '--data-size', '4G');
  });

  for (const supervised of [[], ['--supervised']])
    it(`wait on a socket that a service manager holds (${supervised.join() || 'alone'})`, async () => {
      const socket = scratch.current.at(`held${supervised.length}.sock`);
      const { manager, ended } = await managerOf(socket, [
        'start',
        '--foreground',
        ...supervised,
        '--snapshotter',
        socket,
      ]);
      const serves = (): Promise<boolean> =>
        cli.call('status', {}).then(
          () => true,
          () => false,
        );
      await eventually('it serves', serves);
      const client = new SnapshotClient(socket);
      const later = new SnapshotClient(socket);
      try {
        assert.deepEqual(await client.list(), []);
        await cli.run('stop');
        const waiting = later.list();
        manager.stdin?.write('go on\n');
        assert.deepEqual(await waiting, []);
        await cli.run('stop');
        await ended;
        assert.equal(existsSync(socket), true);
      } finally {
        client.close();
        later.close();
      }
    });

  it('refuses a socket of a service manager that no option names', async () => {
    const socket = scratch.current.at('other.sock');
    const { manager, ended } = await managerOf(socket, ['start', '--foreground']);
    manager.stdin?.end();
    await ended;
    assert.equal(existsSync(path.join(cli.root, 'thinfuse.sock')), false);
  });

  /** A shell that holds a listening socket, and runs the command with it, and once more when told to. */
  async function managerOf(socket: string, args: readonly string[]): Promise<Manager> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    // The process that gets the socket has to be the one whose id is told.
    const run = `run() { sh -c 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"' sh "$@" 3<&3; }`;
    const manager = spawn(
      '/bin/sh',
      ['-c', `${run}; run "$@"; read go && run "$@"`, 'sh', ...CLI_COMMAND, ...args],
      {
        stdio: ['pipe', 'ignore', 'inherit', fd],
        env: { ...process.env, THINFUSE_ROOT: cli.root },
      },
    );
    const ended = once(manager, 'exit');
    // The socket stays, and this process accepts nobody on it.
    await rename(socket, `${socket}.kept`);
    server.close();
    await once(server, 'close');
    await rename(`${socket}.kept`, socket);
    return { manager, ended };
  }
});

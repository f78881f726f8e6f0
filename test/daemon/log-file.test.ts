import assert from 'node:assert/strict';
import { readFile, rename, stat, symlink } from 'node:fs/promises';
import { LogFile } from '../../src/daemon/log-file.js';
import type { DaemonParts } from '../../src/daemon/daemon.js';
import { runForeground } from '../../src/daemon/foreground.js';
import { SocketClient } from '../../src/api/client.js';
import { eventually } from '../support/eventually.js';
import { startFakeDaemon } from '../support/fake-daemon.js';
import { FakePool } from '../support/fake-pool.js';
import { useScratch } from '../support/mounts.js';

describe('LogFile', () => {
  const scratch = useScratch();
  const text = (name: string): Promise<string> => readFile(scratch.current.at(name), 'utf8');

  it('goes on at its path after a rename, once it is told', async () => {
    const file = new LogFile(scratch.current.at('a.log'));
    file.write('one\n');
    await rename(scratch.current.at('a.log'), scratch.current.at('a.log.1'));
    file.write('two\n');
    file.reopen();
    file.write('three\n');
    file.close();
    assert.deepEqual([await text('a.log.1'), await text('a.log')], ['one\ntwo\n', 'three\n']);
    assert.equal((await stat(scratch.current.at('a.log'))).mode & 0o777, 0o600);
  });

  it('begins anew when it has grown large, also what an earlier daemon left, and keeps one before it', async () => {
    for (let daemon = 0; daemon < 3; daemon++) {
      const file = new LogFile(scratch.current.at('b.log'), 1000);
      for (let line = 0; line < 50; line++) file.write(`${daemon} ${'x'.repeat(97)}\n`);
      file.close();
      assert.ok((await stat(scratch.current.at('b.log'))).size <= 1000);
      assert.equal((await stat(scratch.current.at('b.log.1'))).size, 1000);
    }
  });

  it('finds the file that somebody put in its place when it has grown large', async () => {
    const file = new LogFile(scratch.current.at('c.log'), 1000);
    file.write('x'.repeat(1000));
    await rename(scratch.current.at('c.log'), scratch.current.at('c.log-old'));
    file.write('next\n');
    file.close();
    assert.deepEqual([(await text('c.log-old')).length, await text('c.log')], [1000, 'next\n']);
  });

  it('follows no link, and goes on where it was', async () => {
    const file = new LogFile(scratch.current.at('d.log'));
    await rename(scratch.current.at('d.log'), scratch.current.at('d.log.1'));
    await symlink(scratch.current.at('elsewhere'), scratch.current.at('d.log'));
    file.reopen();
    file.write('one\n');
    file.close();
    assert.equal(await text('d.log.1'), 'one\n');
  });
});

describe('SIGHUP', () => {
  const scratch = useScratch();

  it('has a daemon open its log again, and does not end it', async () => {
    const fake = await startFakeDaemon(scratch.current.at('root'));
    await fake.daemon.stop('its parts are wanted');
    let reopened = 0;
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const parts: DaemonParts = {
      ...fake.parts,
      openPool: async () => new FakePool(),
      reopenLog: () => {
        reopened++;
      },
      transport: () => ({
        kind: 'kernel',
        mountPoint: fake.parts.layout.devices,
        supportsDiscard: true,
        mount: async () => undefined,
        unmount: async () => end(),
        ended,
      }),
    };
    const running = runForeground(parts, { notify: false, temporary: false });
    process.kill(process.pid, 'SIGHUP');
    await eventually('the signal is heard', () => reopened === 1);
    const client = new SocketClient(fake.socket);
    await eventually('the daemon serves', () =>
      client.call('status', {}).then(
        () => true,
        () => false,
      ),
    );
    await client.call('stop', {});
    await running;
  });
});

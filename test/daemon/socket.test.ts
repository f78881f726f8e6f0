import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { SocketClient } from '../../src/api/client.js';
import { Daemon } from '../../src/daemon/daemon.js';
import { packError, unpackError } from '../../src/api/wire.js';
import { THIN_ERROR_CODES, ThinError } from '../../src/errors/thin-error.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { useScratch } from '../support/mounts.js';

interface Answer {
  readonly status: number;
  readonly body: { readonly error?: { readonly code: string; readonly message: string } };
}

describe('control socket', () => {
  const scratch = useScratch();
  let fake: FakeDaemon;

  before(async () => {
    fake = await startFakeDaemon(scratch.current.at('root'));
  });
  after(() => fake.daemon.stop('the test is over'));

  const send = (
    path: string,
    body: string,
    options: { method?: string; type?: string } = {},
  ): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        {
          socketPath: fake.socket,
          path,
          method: options.method ?? 'POST',
          headers: { 'content-type': options.type ?? 'application/json' },
        },
        (incoming) => {
          let text = '';
          incoming.setEncoding('utf8');
          incoming.on('data', (piece: string) => (text += piece));
          incoming.on('end', () =>
            resolve({ status: incoming.statusCode ?? 0, body: JSON.parse(text) as Answer['body'] }),
          );
        },
      );
      outgoing.once('error', reject);
      outgoing.end(body);
    });

  it('belongs to its owner alone', async () => {
    assert.equal((await stat(fake.socket)).mode & 0o777, 0o600);
  });

  it('answers what is asked', async () => {
    const status = await new SocketClient(fake.socket).call('status', {});
    assert.equal(status.pid, process.pid);
    assert.equal(status.pool, 'docker-8:1-42-pool');
    assert.deepEqual(status.devices, { total: 1, active: 0, mounted: 0 });
  });

  it('knows no other operation, path or method', async () => {
    for (const [path, method] of [
      ['/v1/format-everything', 'POST'],
      ['/v1/toString', 'POST'],
      ['/', 'POST'],
      ['/v1/status', 'GET'],
    ] as const) {
      const { status, body } = await send(path, method === 'GET' ? '' : '{}', { method });
      assert.equal(status, 404, path);
      assert.equal(body.error?.code, 'not-found');
    }
  });

  it('refuses what is no JSON, too large, or of another type', async () => {
    const cases = [
      [await send('/v1/device.get', '{"name":'), 400, 'invalid-argument'],
      [await send('/v1/device.get', JSON.stringify({ name: 'x'.repeat(70_000) })), 400, 'too-large'],
      [
        await send('/v1/device.get', 'name=x', { type: 'application/x-www-form-urlencoded' }),
        400,
        'invalid-argument',
      ],
    ] as const;
    for (const [answer, status, code] of cases) {
      assert.equal(answer.body.error?.code, code);
      assert.equal(answer.status, status);
    }
  });

  it('names each field that is wrong', async () => {
    const cases: readonly [string, unknown, RegExp][] = [
      ['device.get', {}, /device\.get.*name/],
      ['device.get', { name: 7 }, /name/],
      ['device.get', { name: 'a', extra: 1 }, /extra/],
      ['device.grow', { name: 'a', size: '10G' }, /size/],
      ['device.grow', { name: 'a', size: 1.5 }, /size/],
      ['device.create', { name: 'a', kind: 'base' }, /kind/],
      ['mount', [], /mount/],
      ['status', null, /status|^$/],
    ];
    for (const [operation, input, message] of cases.slice(0, -1)) {
      const { status, body } = await send(`/v1/${operation}`, JSON.stringify(input));
      assert.equal(status, 400, operation);
      assert.equal(body.error?.code, 'invalid-argument');
      assert.match(body.error.message, message);
    }
  });

  it('serves many callers at once', async () => {
    const client = new SocketClient(fake.socket);
    const names = Array.from({ length: 40 }, (_, index) => `many${index}`);
    const made = await Promise.all(
      names.map((name) => client.call('device.create', { name, kind: 'image' })),
    );
    assert.equal(new Set(made.map(({ id }) => id)).size, names.length);
    await Promise.all(names.map((name) => client.call('device.remove', { name })));
  });

  it('throws on this side what was thrown on that one', async () => {
    const client = new SocketClient(fake.socket);
    await assert.rejects(client.call('device.get', { name: 'nobody' }), (error) => {
      assert(error instanceof ThinError);
      assert.equal(error.code, 'not-found');
      assert.equal(error.details['device'], 'nobody');
      assert.match(error.message, /nobody.*thinfuse ls/);
      return true;
    });
  });

  it('carries every code', () => {
    for (const code of THIN_ERROR_CODES) {
      const error = new ThinError(code, 'why', { details: { device: 'a', pid: 4 } });
      const back = unpackError(JSON.parse(JSON.stringify(packError(error))));
      assert.deepEqual([back.code, back.message, back.details], [code, 'why', { device: 'a', pid: 4 }]);
    }
    assert.equal(unpackError('<html>').code, 'internal');
    assert.equal(unpackError({ error: { code: 'made-up', message: '' } }).code, 'internal');
    assert.equal(unpackError(packError(new TypeError('a bug'))).code, 'internal');
  });

  it('says that nobody is there', async () => {
    const client = new SocketClient(scratch.current.at('nowhere.sock'));
    await assert.rejects(client.call('status', {}), { code: 'not-running' });
  });

  it('says that a daemon went away before it answered', async () => {
    const path = scratch.current.at('rude.sock');
    const rude = createServer((incoming) => incoming.socket.destroy());
    await new Promise<void>((resolve) => rude.listen(path, resolve));
    try {
      await assert.rejects(new SocketClient(path).call('status', {}), { code: 'closed' });
    } finally {
      rude.close();
    }
  });

  it('refuses a second daemon and names the first', async () => {
    await assert.rejects(Daemon.start(fake.parts), (error) => {
      assert(error instanceof ThinError);
      assert.equal(error.code, 'already-running');
      assert.equal(error.details['pid'], process.pid);
      return true;
    });
    assert.equal((await new SocketClient(fake.socket).call('status', {})).pid, process.pid);
  });

  it('replaces a socket that nobody answers on', async () => {
    const root = scratch.current.at('stale');
    const first = await startFakeDaemon(root);
    await first.daemon.stop('to leave a root behind');
    await writeFile(first.socket, '');
    const second = await startFakeDaemon(root);
    assert.equal((await new SocketClient(second.socket).call('status', {})).pid, process.pid);
    await second.daemon.stop('the test is over');
    await assert.rejects(stat(second.socket), { code: 'ENOENT' });
  });
});

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { SocketClient } from '../../src/api/client.js';
import { parseListenAddress } from '../../src/daemon/listen-address.js';
import { metricsAdapter } from '../../src/daemon/metrics-server.js';
import { notifyServiceManager } from '../../src/host/service-manager.js';
import { Metrics } from '../../src/daemon/metrics.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import { ThreadImage } from '../../src/io/thread-image.js';
import { makeDirectPool, openDirectPool } from '../support/direct-pool.js';
import { MemoryStore } from '../support/memory-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';
import { startFakeDaemon } from '../support/fake-daemon.js';
import { FakePool } from '../support/fake-pool.js';
import { useScratch } from '../support/mounts.js';

function get(
  options: { socketPath: string; path: string } | string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(options, (answer) => {
      let text = '';
      answer.on('data', (piece: Buffer) => (text += piece.toString()));
      answer.once('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    asked.once('error', reject);
    asked.end();
  });
}

describe('metrics', () => {
  const scratch = useScratch();

  it('tell of the pool, its devices and calls, over the control socket', async () => {
    const fake = await startFakeDaemon(scratch.current.at('root'), { pool: new FakePool() });
    const client = new SocketClient(fake.socket);
    await client.call('device.create', { name: 'debian', kind: 'image', quota: 2 ** 30 });
    await client.call('device.get', { name: 'nobody' }).catch(() => undefined);
    const { text } = await client.call('metrics', {});
    for (const line of [
      'thinfuse_data_total_bytes 107374182400',
      'thinfuse_mode{mode="rw"} 1',
      'thinfuse_mode{mode="ro"} 0',
      'thinfuse_device_size_bytes{device="debian",kind="image"} 10737418240',
      'thinfuse_calls_total{operation="device.create",outcome="ok"} 1',
      'thinfuse_calls_total{operation="device.get",outcome="error"} 1',
      'thinfuse_deferred_deleted_devices 0',
    ])
      assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
    const direct = await get({ socketPath: fake.socket, path: '/metrics' });
    assert.equal(direct.status, 200);
    assert.match(direct.text, /^thinfuse_transaction_id \d+$/m);
    await client.call('device.remove', { name: 'debian' });
    assert.doesNotMatch((await client.call('metrics', {})).text, /device="debian"/);
    await fake.daemon.stop('the test is over');
  });

  it('count requests of every thread as counters, and hits of the cache', async () => {
    const pool = await makeSmallPool(new MemoryStore());
    const file = await pool.activate(BASE_NAME);
    await file.write(0, Buffer.alloc(BLOCK, 1));
    await file.read(0, Buffer.alloc(4096));
    await file.flush();
    const thread = new ThreadImage(file.memory!, 3);
    assert.ok(thread.write(4096, Buffer.alloc(512, 2), 0, 512));
    assert.ok(thread.read(0, Buffer.alloc(4096), 0, 4096));
    const metrics = new Metrics({ pool, mounted: () => 0, events: undefined });
    const text = await metrics.text();
    for (const line of [
      '# TYPE thinfuse_io_requests_total counter',
      'thinfuse_io_requests_total{op="read"} 2',
      'thinfuse_io_bytes_total{op="write"} 66048',
      'thinfuse_cache_hits_total 4',
      'thinfuse_cache_misses_total 0',
      '# TYPE thinfuse_device_io_requests_total counter',
      'thinfuse_device_io_requests_total{device="base",kind="base",op="write"} 2',
      'thinfuse_device_io_requests_total{device="base",kind="base",op="flush"} 1',
      'thinfuse_device_io_bytes_total{device="base",kind="base",op="read"} 8192',
      'thinfuse_device_cache_hits_total{device="base",kind="base"} 4',
    ])
      assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
    assert.doesNotMatch(text, /^thinfuse_(host_free|log)_bytes \d/m, 'this store is on no disk');
    await pool.deactivate(BASE_NAME);
    assert.doesNotMatch(await metrics.text(), /device_io_requests_total\{device/);
    assert.match(await metrics.text(), /^thinfuse_io_requests_total\{op="read"\} 2$/m);
    await pool.close();
  });

  it('tell of no cache in a direct pool, which has none', async () => {
    const [root, data] = [scratch.current.at('direct'), scratch.current.at('data')];
    await makeDirectPool(root, data);
    const pool = await openDirectPool(root);
    const file = await pool.activate(BASE_NAME);
    await file.read(0, Buffer.alloc(4096));
    const text = await new Metrics({ pool, mounted: () => 0, events: undefined }).text();
    assert.match(text, /^thinfuse_device_io_requests_total\{device="base",kind="base",op="read"\} 1$/m);
    assert.doesNotMatch(text, /cache_(hits|misses)_total(\{.*\})? \d/);
    await pool.deactivate(BASE_NAME);
    await pool.close();
  });

  it('are served on a port, and nothing else is', async () => {
    let url = '';
    const adapter = metricsAdapter(parseListenAddress('127.0.0.1:0', '--metrics-listen'), (at) => {
      url = at;
    });
    const fake = await startFakeDaemon(scratch.current.at('port'), { adapters: [adapter] });
    assert.match((await get(url)).text, /^thinfuse_needs_check 0$/m);
    assert.equal((await get(url.replace('/metrics', '/v1/stop'))).status, 404);
    await fake.daemon.stop('the test is over');
    await assert.rejects(get(url));
  });

  it('have an address that can be understood', () => {
    assert.deepEqual(parseListenAddress('9180', '--metrics-listen'), { host: '127.0.0.1', port: 9180 });
    assert.deepEqual(parseListenAddress('[::1]:80', '--metrics-listen'), { host: '::1', port: 80 });
    for (const text of ['', 'host', 'host:', '70000', ':x'])
      assert.throws(() => parseListenAddress(text, '--metrics-listen'), { code: 'invalid-argument' });
  });
});

describe('the service manager', () => {
  it('is told where there is one, and does not matter where it is not', async () => {
    const calls: string[][] = [];
    const exec = (fails: boolean): Parameters<typeof notifyServiceManager>[0] => ({
      run: (tool, args) => {
        calls.push([tool, ...args]);
        return fails
          ? Promise.reject(new Error('no such tool'))
          : Promise.resolve({ code: 0, stdout: '', stderr: '' });
      },
    });
    const env = { NOTIFY_SOCKET: '/run/systemd/notify' };
    assert.equal(await notifyServiceManager(exec(false), 'READY=1', 'serving', {}), false);
    assert.equal(await notifyServiceManager(exec(false), 'READY=1', 'serving', env), true);
    assert.equal(await notifyServiceManager(exec(true), 'STOPPING=1', 'closing', env), false);
    assert.deepEqual(calls[0], ['systemd-notify', 'READY=1', 'STATUS=serving']);
  });
});

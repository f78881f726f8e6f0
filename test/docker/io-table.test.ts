import assert from 'node:assert/strict';
import { ioCounts, ioRates, ioTable } from '../../src/docker/io-table.js';

const metrics = (reads: number, bytes: number): string => `# TYPE thinfuse_device_io_requests_total counter
thinfuse_device_io_requests_total{device="db",kind="snapshot",op="read"} ${reads}
thinfuse_device_io_requests_total{device="db",kind="snapshot",op="flush"} 7
thinfuse_device_io_bytes_total{device="db",kind="snapshot",op="read"} ${bytes}
thinfuse_device_io_seconds_total{device="db",kind="snapshot",op="read"} ${reads / 1024}
thinfuse_device_cache_hits_total{device="db",kind="snapshot"} ${reads / 2}
thinfuse_device_io_requests_total{device="web",kind="container",op="write"} 4
thinfuse_devices 3
`;

describe('docker: what devices read and write', () => {
  it('tells rates between two looks, and the busiest first', () => {
    const rates = ioRates(ioCounts(metrics(100, 2 ** 20)), ioCounts(metrics(300, 3 * 2 ** 20)), 2);
    assert.deepEqual(rates.get('db'), {
      readsPerSecond: 100,
      writesPerSecond: 0,
      readBytesPerSecond: 2 ** 20,
      writtenBytesPerSecond: 0,
      readMilliseconds: 1000 / 1024,
      writeMilliseconds: 0,
      hitPercent: 50,
    });
    assert.equal(rates.get('web')?.hitPercent, undefined);
    assert.match(ioTable(rates), /^NAME .*\ndb +100\.0 +0\.0 +1M +0B +0\.98 +0\.00 +50\nweb +0\.0/);
  });

  it('counts a device that is new from nothing', () => {
    assert.equal(ioRates(new Map(), ioCounts(metrics(10, 0)), 10).get('db')?.readsPerSecond, 1);
  });

  it('counts a device that became active again from nothing, too', () => {
    const rates = ioRates(ioCounts(metrics(300, 0)), ioCounts(metrics(10, 0)), 10);
    assert.equal(rates.get('db')?.readsPerSecond, 1);
  });
});

import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { deviceName, deviceNumber, devicePrefix, poolName, prefixOf } from '../../src/docker/prefix.js';

describe('docker: names', () => {
  it('takes a device number apart as glibc does', () => {
    assert.equal(deviceNumber(0n), '0:0');
    assert.equal(deviceNumber(0x0700n), '7:0');
    assert.equal(deviceNumber(0xfd01n), '253:1');
    assert.equal(deviceNumber(0xca01n), '202:1');
    // 12 bits of major, 20 of minor, the minor's upper ones above the major.
    assert.equal(deviceNumber(0x10_0734n), '7:308');
    assert.equal(deviceNumber(0xffff_ffffn), '4095:1048575');
    assert.equal(deviceNumber(0x1000_0000_0100n), '4097:0');
  });

  it('names the pool and its devices after the root folder', () => {
    const prefix = prefixOf({ dev: 0xfd01n, ino: 17538953n });
    assert.equal(poolName(prefix), 'docker-253:1-17538953-pool');
    assert.equal(deviceName(prefix, 'base'), 'docker-253:1-17538953-base');
    assert.equal(deviceName(prefix, 'web-1'), 'docker-253:1-17538953-web-1');
    assert.equal(prefixOf({ dev: 0xca01n, ino: 2n ** 63n }), 'docker-202:1-9223372036854775808');
  });

  it('reads the numbers of a real folder', async () => {
    const { dev, ino } = await stat(tmpdir(), { bigint: true });
    assert.equal(await devicePrefix(tmpdir()), prefixOf({ dev, ino }));
  });
});

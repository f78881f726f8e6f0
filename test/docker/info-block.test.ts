import assert from 'node:assert/strict';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import { infoBlock, infoFields, type InfoSurroundings } from '../../src/docker/info-block.js';
import { GIB, poolInfo } from '../support/pool-values.js';

const AROUND: InfoSurroundings = {
  poolName: 'docker-253:1-17538953-pool',
  deletedDevices: 0,
  version: '1.2.3',
};

describe('docker: info block', () => {
  it('prints the block of docker info field for field', () => {
    const info = poolInfo({
      dataUsed: 11_700 * 65536,
      metadataUsed: 400 * 4096,
      options: { ...DEFAULT_POOL_OPTIONS, deferredRemoval: true, deferredDeletion: true },
    });
    const around = {
      ...AROUND,
      dataFile: '/dev/loop0',
      metadataFile: '/dev/loop1',
      dataLoopFile: '/var/lib/docker/devicemapper/devicemapper/data',
      metadataLoopFile: '/var/lib/docker/devicemapper/devicemapper/metadata',
    };
    assert.equal(
      infoBlock(info, around),
      ` Storage Driver: devicemapper
  Pool Name: docker-253:1-17538953-pool
  Pool Blocksize: 65.54kB
  Base Device Size: 10.74GB
  Backing Filesystem: xfs
  Udev Sync Supported: true
  Data file: /dev/loop0
  Metadata file: /dev/loop1
  Data loop file: /var/lib/docker/devicemapper/devicemapper/data
  Metadata loop file: /var/lib/docker/devicemapper/devicemapper/metadata
  Data Space Used: 766.8MB
  Data Space Total: 107.4GB
  Data Space Available: 106.6GB
  Metadata Space Used: 1.638MB
  Metadata Space Total: 2.147GB
  Metadata Space Available: 2.146GB
  Thin Pool Minimum Free Space: 10.74GB
  Deferred Removal Enabled: true
  Deferred Deletion Enabled: true
  Deferred Deleted Device Count: 0
  Library Version: 1.2.3`,
    );
  });

  it('leaves out the file lines that have nothing to say', () => {
    const keys = Object.keys(
      infoFields(poolInfo(), { ...AROUND, dataFile: '', metadataLoopFile: '/root/devicemapper' }),
    );
    assert.equal(keys.includes('Data file'), false);
    assert.equal(keys.includes('Metadata file'), false);
    assert.equal(keys.includes('Data loop file'), false);
    assert.equal(keys.indexOf('Metadata loop file'), keys.indexOf('Udev Sync Supported') + 1);
    assert.equal(keys.length, 18);
  });

  it('calls no more available than the host has, and never less than nothing', () => {
    const fields = infoFields(poolInfo({ dataUsed: 101 * GIB }), { ...AROUND, metadataHostFree: 10 ** 9 });
    assert.equal(fields['Data Space Available'], '0B');
    assert.equal(fields['Metadata Space Available'], '1GB');
    const roomy = infoFields(poolInfo(), { ...AROUND, dataHostFree: 10 ** 15, metadataHostFree: 10 ** 15 });
    assert.equal(roomy['Data Space Available'], '107.4GB');
    assert.equal(roomy['Metadata Space Available'], '2.147GB');
  });

  it('counts devices that wait for removal, and free space in whole chunks', () => {
    const options = { ...DEFAULT_POOL_OPTIONS, minFreeSpace: 33 };
    const fields = infoFields(poolInfo({ dataTotal: 10 * 65536, options }), { ...AROUND, deletedDevices: 2 });
    assert.equal(fields['Deferred Deleted Device Count'], '2');
    assert.equal(fields['Thin Pool Minimum Free Space'], '196.6kB');
  });
});

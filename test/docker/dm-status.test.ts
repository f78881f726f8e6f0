import assert from 'node:assert/strict';
import { transactionId } from '../../src/format/ids.js';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import { dmStatusLine } from '../../src/docker/dm-status.js';
import { GIB, MIB, poolInfo } from '../support/pool-values.js';

describe('docker: dm-thin’s status line', () => {
  it('has the fields of dm-thin in their order', () => {
    const info = poolInfo({ transactionId: transactionId(7), dataUsed: 3 * 65536, metadataUsed: 12 * 4096 });
    assert.equal(dmStatusLine(info), '7 12/524288 3/1638400 - rw discard_passdown error_if_no_space - 1024');
  });

  it('shows modes, policy and needs_check as dm-thin names them', () => {
    const options = { ...DEFAULT_POOL_OPTIONS, errorIfNoSpace: false };
    assert.equal(
      dmStatusLine(poolInfo({ mode: 'ro', needsCheck: true, options })),
      '1 0/524288 0/1638400 - ro discard_passdown queue_if_no_space needs_check 1024',
    );
    assert.match(
      dmStatusLine(poolInfo({ mode: 'out_of_data_space', waitedEnough: true, options })),
      / - out_of_data_space discard_passdown error_if_no_space /,
    );
    assert.match(
      dmStatusLine(poolInfo({ mode: 'out_of_data_space' })),
      / - out_of_data_space discard_passdown /,
    );
    assert.equal(dmStatusLine(poolInfo({ mode: 'fail' })), 'Fail');
  });

  it('counts in blocks of the pool’s own sizes', () => {
    const info = poolInfo({ blockSize: 512 * 1024, dataTotal: GIB, dataUsed: GIB, metadataTotal: 4 * MIB });
    assert.equal(dmStatusLine(info), '1 0/1024 2048/2048 - rw discard_passdown error_if_no_space - 256');
  });
});

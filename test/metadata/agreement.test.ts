import assert from 'node:assert/strict';
import fc from 'fast-check';
import { snapTime } from '../../src/format/ids.js';
import type { Superblock } from '../../src/format/superblock.js';
import { disagreements, foreignOptions } from '../../src/metadata/agreement.js';
import { anyDevice, anySuperblock } from '../support/arbitrary-records.js';

const count = fc.nat(5);
const found = fc.record({
  devices: fc.option(count, { nil: undefined }),
  chunks: fc.option(count, { nil: undefined }),
  nodes: fc.option(count, { nil: undefined }),
  remote: fc.option(count, { nil: undefined }),
});

describe('whether the superblock and the rest of the metadata agree', () => {
  it('tells each count that differs, none that is unknown, and each device of a later time', () => {
    fc.assert(
      fc.property(
        anySuperblock,
        fc.record({ devices: count, chunks: count, nodes: count }),
        count,
        fc.array(anyDevice, { maxLength: 4 }),
        found,
        (any, totals, remoteChunks, devices, counted) => {
          const superblock: Superblock = { ...any, totals, remoteChunks, time: snapTime(2 ** 31) };
          const problems = disagreements(superblock, devices, counted);
          const wrong = (['devices', 'chunks', 'nodes'] as const).filter(
            (what) => counted[what] !== undefined && counted[what] !== totals[what],
          );
          const isRemoteWrong = counted.remote !== undefined && counted.remote !== remoteChunks;
          const later = devices.filter((device) => device.snapTime > superblock.time).length;
          assert.equal(problems.length, wrong.length + Number(isRemoteWrong) + later);
          // A repair may write again what the rest of the metadata determines, which the devices are not.
          assert.equal(
            problems.filter(({ isCount }) => isCount).length,
            wrong.filter((what) => what !== 'devices').length,
          );
        },
      ),
    );
  });

  it('knows options of another pool, and takes those of a pool of before that do not say', () => {
    const superblock = { uuid: 'this' } as Superblock;
    assert.equal(foreignOptions(superblock, 'this'), undefined);
    assert.equal(foreignOptions(superblock, undefined), undefined);
    assert.match(foreignOptions(superblock, 'other') ?? '', /this.*other/);
  });
});

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ViewTargets } from '../../src/host/view-targets.js';

describe('mount points of views outside of the pool', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('that a killed daemon left are found by their pool, where they are empty', async () => {
    const own = new ViewTargets('docker-8:1-42', folder);
    const other = new ViewTargets('docker-8:1-4', folder);
    const left = await own.make();
    const full = await own.make();
    await mkdir(path.join(full, 'kept'));
    const others = await other.make();
    assert.deepEqual([own.has(left), own.has(others), other.has(left)], [true, false, false]);
    assert.equal(own.has(path.join(left, 'kept')), false);
    assert.deepEqual(await own.unused(), [left]);
    assert.deepEqual(await own.clear(), [`removed ${left}`]);
    assert.deepEqual((await readdir(folder)).sort(), [path.basename(full), path.basename(others)].sort());
    assert.deepEqual(await own.unused(), []);
  });

  it('are none in a folder that is not there', async () => {
    assert.deepEqual(await new ViewTargets('pool', path.join(folder, 'none')).clear(), []);
  });
});

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readFile, rename, rm, stat, truncate } from 'node:fs/promises';
import path from 'node:path';
import { LOG_HEAD_BYTES } from '../../src/format/log-state.js';
import { LOG_FILE, logFiles } from '../../src/store/log-file.js';
import { useScratch } from '../support/mounts.js';
import { flipByte } from '../support/numbered-store.js';

const RING = 3 * 2 ** 20 + 4096;

describe('the file of a log', () => {
  const scratch = useScratch();
  const pool = randomUUID();
  let folder: string;
  let file: string;
  let count = 0;

  beforeEach(async () => {
    folder = scratch.current.at(`pool${count++}`);
    await mkdir(folder);
    file = path.join(folder, LOG_FILE);
  });

  it('is not there before it is made, and has all of its space then', async () => {
    assert.equal(await logFiles.open(folder), undefined);
    await logFiles.make(folder, pool, RING);
    const { size, blocks } = await stat(file);
    assert.equal(size, LOG_HEAD_BYTES + RING);
    assert.ok(blocks * 512 >= size, `${blocks} blocks`);
    const opened = (await logFiles.open(folder))!;
    assert.deepEqual([opened.head.pool, opened.head.ring], [pool, RING]);
    await Promise.all([opened.handle.close(), opened.mark?.close()]);
  });

  it('is told from a copy, and from one that took its place, by its own place', async () => {
    await logFiles.make(folder, pool, RING);
    const placeOf = async (): Promise<string> => {
      const opened = (await logFiles.open(folder))!;
      await Promise.all([opened.handle.close(), opened.mark?.close()]);
      return opened.place;
    };
    const before = await placeOf();
    assert.equal(await placeOf(), before);
    await copyFile(file, `${file}.copy`);
    await rename(`${file}.copy`, file);
    assert.notEqual(await placeOf(), before);
  });

  it('takes the place of what is there, whole, under a new name of its own', async () => {
    await logFiles.make(folder, pool, RING);
    const first = await readFile(file);
    await logFiles.make(folder, pool, RING);
    assert.ok(!first.equals(await readFile(file)));
  });

  it('is damaged where its head or its end is', async () => {
    await logFiles.make(folder, pool, RING);
    await flipByte(file, 20);
    await assert.rejects(logFiles.open(folder), { code: 'damaged' });
    await logFiles.make(folder, pool, RING);
    await truncate(file, LOG_HEAD_BYTES + RING - 1);
    await assert.rejects(logFiles.open(folder), { code: 'damaged' });
    await rm(file);
  });
});

import assert from 'node:assert/strict';
import {
  fileAttributes,
  readableLength,
  requireSameSize,
  requireWritable,
  spaceBlocks,
} from '../../src/fuse/image-access.js';
import { MemoryImage } from '../../src/testing/memory-image.js';

describe('image access', () => {
  const image = new MemoryImage(1000 * 512);

  it('clips reads at the end', () => {
    assert.equal(readableLength(image, 0, 100), 100);
    assert.equal(readableLength(image, image.size - 10, 100), 10);
    assert.equal(readableLength(image, image.size, 100), 0);
    assert.equal(readableLength(image, image.size + 5, 100), 0);
  });

  it('refuses writes past the end and to read-only files, and other sizes', () => {
    requireWritable('a', image, image.size - 512, 512);
    assert.throws(() => requireWritable('a', image, image.size - 511, 512), { code: 'too-large' });
    requireSameSize('a', image, image.size);
    assert.throws(() => requireSameSize('a', image, 0), { code: 'permission', message: /thinfuse grow a/ });
    const locked = new MemoryImage(512);
    locked.readOnly = true;
    assert.throws(() => requireWritable('a', locked, 0, 512), { code: 'read-only' });
    assert.equal(fileAttributes(locked).mode & 0o222, 0);
  });

  it('counts space in blocks whose number fits 32 bits', () => {
    assert.deepEqual(spaceBlocks({ total: 10 * 4096 + 5, free: 4096 * 5 }), {
      blockSize: 4096,
      total: 10,
      free: 5,
      files: 2,
      filesFree: 1,
    });
    const huge = spaceBlocks({ total: 2 ** 50, free: 2 ** 51 });
    assert.ok(huge.total < 2 ** 32);
    assert.equal(huge.total * huge.blockSize, 2 ** 50);
    assert.equal(huge.free, huge.total);
  });
});

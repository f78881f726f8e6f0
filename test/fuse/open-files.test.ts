import assert from 'node:assert/strict';
import { OpenFiles } from '../../src/fuse/open-files.js';
import { MemoryDirectory } from '../../src/testing/memory-image.js';

describe('OpenFiles', () => {
  it('reports each open and each release once, and knows closed handles', () => {
    const directory = new MemoryDirectory();
    const image = directory.add('a', 512);
    const files = new OpenFiles(directory);
    const [first, second] = [files.open('a', image, 0), files.open('a', image, 0)];
    assert.notEqual(first, second);
    assert.ok(first > 0);
    assert.equal(directory.open.get('a'), 2);
    assert.equal(files.get(first).file, image);
    files.release(first);
    files.release(first);
    assert.equal(directory.open.get('a'), 1);
    assert.throws(() => files.get(first), { code: 'closed' });
    files.releaseAll();
    assert.equal(directory.open.get('a'), 0);
    assert.equal(files.size, 0);
  });
});

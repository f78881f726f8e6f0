import assert from 'node:assert/strict';
import { areFew, pagesOf, pageSize } from '../../src/store/pages.js';

describe('pages of a chunk', () => {
  it('have 4 KiB, and are at most 32', () => {
    assert.equal(pageSize(65536), 4096);
    assert.equal(pageSize(131072), 4096);
    assert.equal(pageSize(2 ** 20), 32768);
  });

  it('are those that a range touches', () => {
    assert.equal(pagesOf(0, 1, 4096), 0b1);
    assert.equal(pagesOf(4095, 2, 4096), 0b11);
    assert.equal(pagesOf(8192, 8192, 4096), 0b1100);
    assert.equal(pagesOf(0, 131072, 4096) >>> 0, 0xffffffff);
    assert.equal(pagesOf(31 * 4096, 4096, 4096) >>> 0, 0x80000000);
  });

  it('are few up to a quarter of them', () => {
    assert(areFew(0b1111, 0xffff));
    assert(!areFew(0b11111, 0xffff));
  });
});

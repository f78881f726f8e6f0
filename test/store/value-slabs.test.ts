import assert from 'node:assert/strict';
import { ValueSlabs } from '../../src/store/value-slabs.js';

const MIB = 2 ** 20;

describe('memory for the values of a commit', () => {
  let slabs: ValueSlabs;

  beforeEach(() => {
    slabs = new ValueSlabs();
  });

  afterEach(() => {
    slabs.close();
  });

  it('is as long as was asked for, and nobody else’s until it is released', () => {
    const sizes = [1, MIB, 65_552, 5, MIB - 3, 65_552, 3 * MIB, 17];
    const taken = sizes.map((bytes, i) => slabs.take(bytes).fill(i + 1));
    for (const [i, bytes] of taken.entries()) {
      assert.equal(bytes.length, sizes[i]);
      assert.ok(bytes.every((byte) => byte === i + 1));
    }
  });

  it('is used again by the next commit', () => {
    const before = slabs.take(100).buffer;
    slabs.release();
    assert.equal(slabs.take(200).buffer, before);
  });

  it('is kept as much of as the last commit took, and 32 MiB at most', () => {
    const buffersOf = (values: number): Set<ArrayBuffer> => {
      const taken = new Set<ArrayBuffer>();
      for (let i = 0; i < values; i++) taken.add(slabs.take(MIB).buffer);
      slabs.release();
      return taken;
    };
    const first = buffersOf(40);
    const second = buffersOf(40);
    assert.equal([...second].filter((buffer) => first.has(buffer)).length, 32);
    buffersOf(1);
    const last = buffersOf(40);
    assert.equal([...last].filter((buffer) => second.has(buffer)).length, 1);
  });
});

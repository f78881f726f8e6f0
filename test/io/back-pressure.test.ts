import assert from 'node:assert/strict';
import fc from 'fast-check';
import { pauseFor } from '../../src/io/back-pressure.js';

const share = fc.double({ min: 0, max: 1.2, noNaN: true });
const bytes = fc.integer({ min: 512, max: 2 ** 20 });

describe('back-pressure', () => {
  it('holds up nobody where commits keep pace', () => {
    fc.assert(
      fc.property(bytes, fc.double({ min: 0, max: 0.6, noNaN: true }), (length, fullness) => {
        assert.equal(pauseFor(length, fullness), 0);
      }),
    );
  });

  it('grows with what waits and with what is written, and never beyond a limit', () => {
    fc.assert(
      fc.property(bytes, bytes, share, share, (few, many, calm, full) => {
        const [less, more] = [few, many].sort((a, b) => a - b) as [number, number];
        const [low, high] = [calm, full].sort((a, b) => a - b) as [number, number];
        assert.ok(pauseFor(less, low) <= pauseFor(more, high));
        assert.ok(pauseFor(more, high) <= 50);
      }),
    );
  });

  it('begins with next to nothing, and ends with few small writes a second', () => {
    assert.ok(pauseFor(4096, 0.61) < 0.05);
    assert.ok(pauseFor(4096, 1) > 5);
  });
});

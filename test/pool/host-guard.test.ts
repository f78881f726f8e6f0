import assert from 'node:assert/strict';
import fc from 'fast-check';
import { HostGuard, type HostDisk } from '../../src/pool/host-guard.js';
import type { SpaceEvent } from '../../src/pool/space-events.js';

class Disk implements HostDisk {
  readonly total = 2 ** 40;
  bytes = 2 ** 40;
  hasReserve = true;

  free(): number {
    return this.bytes;
  }

  holdReserve(): Promise<void> {
    this.hasReserve = true;
    return Promise.resolve();
  }

  releaseReserve(): Promise<void> {
    this.hasReserve = false;
    return Promise.resolve();
  }
}

describe('the guard of the disk that a pool is on', () => {
  it('is short below its floor and until there is a quarter more, tells each change once, and moves the reserve with it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constant('full' as const)), { maxLength: 40 }),
        async (moments) => {
          const disk = new Disk();
          const events: SpaceEvent[] = [];
          const guard = new HostGuard(disk, (event) => events.push(event), 100);
          let isShort = false;
          let changes = 0;
          for (const moment of moments) {
            const before: boolean = isShort;
            if (moment === 'full') {
              isShort = true;
              assert.equal(guard.noteFull(), !before);
            } else {
              disk.bytes = moment;
              isShort = moment < (before ? 125 : 100);
              assert.equal(guard.look(), isShort !== before);
            }
            if (isShort !== before) changes++;
            assert.equal(guard.isShort, isShort);
            await guard.settled();
            assert.equal(disk.hasReserve, !isShort);
          }
          assert.equal(events.length, changes);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('keeps a part of a small disk, and nothing where there is no disk', () => {
    const disk = new Disk();
    assert.equal(new HostGuard(disk, () => undefined).figures?.floor, 2 ** 30);
    const small = Object.assign(new Disk(), { total: 2 ** 30 });
    assert.equal(new HostGuard(small, () => undefined).figures?.floor, 2 ** 26);
    const none = new HostGuard(undefined, () => assert.fail('there is nothing to tell'));
    assert.equal(none.look(), false);
    assert.equal(none.noteFull(), false);
    assert.equal(none.figures, undefined);
  });
});

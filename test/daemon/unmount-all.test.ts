import assert from 'node:assert/strict';
import { unmountAll } from '../../src/daemon/unmount-all.js';
import { ThinError } from '../../src/errors/thin-error.js';
import type { DeviceName } from '../../src/format/ids.js';

type Parts = Parameters<typeof unmountAll>[0];

const M = 'm' as DeviceName;

/** With one device, which is mounted until `failure` comes; `stays`: and afterwards. */
function parts(failure: ThinError, { stays, mode }: { stays: boolean; mode: 'rw' | 'ro' }): Parts {
  let isMounted = true;
  return {
    served: {
      locks: { run: (_names: unknown, work: () => Promise<unknown>) => work() },
      mounts: {
        names: () => [M],
        of: () => (isMounted ? { target: '/mnt/m' } : undefined),
        unmount: () => {
          isMounted = stays;
          return Promise.reject(failure);
        },
      },
      active: { names: () => [], pathOf: () => undefined },
    },
    pool: { info: () => ({ mode }) },
    host: { withdrawOthers: () => Promise.resolve([]) },
    log: { warn: () => undefined },
  } as unknown as Parts;
}

describe('the release of all devices', () => {
  const force = false;

  it('does not fail for one that somebody else released meanwhile', async () => {
    const gone = new ThinError('not-found', 'device m is not mounted');
    assert.deepEqual(await unmountAll(parts(gone, { stays: false, mode: 'rw' }), { force }), {});
  });

  it('fails for one that stays, and for one that could not be synced', async () => {
    const busy = new ThinError('busy', 'm is in use');
    const failed = new ThinError('no-space', 'the disk is full');
    await assert.rejects(unmountAll(parts(busy, { stays: true, mode: 'rw' }), { force }), {
      code: 'busy',
      message: /the daemon goes on.*m is in use/,
    });
    await assert.rejects(unmountAll(parts(failed, { stays: false, mode: 'rw' }), { force }), {
      code: 'no-space',
    });
  });

  it('says of a read-only pool what may be lost', async () => {
    const lost = new ThinError('read-only', 'the disk is read-only');
    const { lacks } = await unmountAll(parts(lost, { stays: false, mode: 'ro' }), { force });
    assert.match(lacks ?? '', /lost in m \(the disk is read-only\)/);
  });
});

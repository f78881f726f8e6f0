import { ThinError } from '../../errors/thin-error.js';
import type { Handlers } from '../dispatcher.js';
import type { Service } from '../service.js';

type PoolOperation =
  | 'remote.find'
  | 'remote.forget'
  | 'remote.images'
  | 'pool.info'
  | 'pool.set'
  | 'pool.check'
  | 'pool.extend'
  | 'pool.commit'
  | 'pool.settle';

export function poolOperations({ pool }: Service): Pick<Handlers, PoolOperation> {
  return {
    'pool.info': async () => ({ ...pool.info(), dataStored: await pool.stored() }),
    'pool.check': async ({ depth, clearNeedsCheck, autoRepair }) => {
      if (autoRepair === true)
        throw new ThinError(
          'busy',
          'a pool that is open cannot be repaired; stop the daemon first with: thinfuse stop',
        );
      const check = await pool.check({ depth, clearNeedsCheck: clearNeedsCheck ?? false });
      const { needsCheck, transactionId, metadataTotal, metadataUsed, metadataBlockSize } = pool.info();
      const metadataFree = Math.floor((metadataTotal - metadataUsed) / metadataBlockSize);
      return {
        ok: check.findings.length === 0,
        ...check,
        needsCheck,
        transactionId,
        metadataFree,
        repaired: 0,
      };
    },
    'pool.set': async (change) => {
      const given = Object.entries(change).filter(([, value]) => value !== undefined);
      await pool.setOptions(Object.fromEntries(given));
      return pool.info();
    },
    'pool.extend': (to) => pool.extend(to),
    'remote.find': (request) => pool.findRemote(request),
    'remote.forget': async ({ note }) => {
      await pool.forgetRemote(note);
      return {};
    },
    'remote.images': () => Promise.resolve(pool.remoteImages()),
    'pool.commit': async () => {
      await pool.commit();
      return {};
    },
    'pool.settle': async () => {
      await pool.settle();
      return {};
    },
  };
}

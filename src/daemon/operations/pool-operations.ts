import type { Handlers } from '../dispatcher.js';
import type { Service } from '../service.js';

type PoolOperation = 'pool.info' | 'pool.check' | 'pool.commit' | 'pool.settle';

export function poolOperations({ pool }: Service): Pick<Handlers, PoolOperation> {
  return {
    'pool.info': () => Promise.resolve(pool.info()),
    'pool.check': async () => {
      const check = await pool.check();
      return { ok: check.findings.length === 0, ...check };
    },
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

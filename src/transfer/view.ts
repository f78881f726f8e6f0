import type { Operations } from '../api/operations.js';
import { ownMaker } from './passing-devices.js';
import type { PoolAccess } from './pool-access.js';

/** The device's files for reading while `work` runs. Errors: as the operation `view.open`. */
export async function withView<T>(
  access: Pick<PoolAccess, 'call'>,
  name: string,
  work: (view: Operations['view.open']['output']) => Promise<T>,
): Promise<T> {
  const view = await access.call('view.open', { name, holder: process.pid, maker: await ownMaker() });
  try {
    return await work(view);
  } finally {
    await access.call('view.close', { name, holder: process.pid });
  }
}

import type { Handlers } from '../dispatcher.js';
import type { Service } from '../service.js';

type MetadataOperation =
  'metadata.reserve' | 'metadata.release' | 'metadata.reserved' | 'pool.setTransactionId';

/** What dm-thin's pool target takes as messages, and has no device of its own. */
export function metadataOperations({ pool, projection }: Service): Pick<Handlers, MetadataOperation> {
  return {
    'metadata.reserve': () => pool.tools.reserve(),
    'metadata.release': async ({ snapshot }) => {
      await pool.tools.release(snapshot);
      return {};
    },
    'metadata.reserved': () => Promise.resolve(pool.tools.reserved()),
    'pool.setTransactionId': async ({ from, to }) => {
      await pool.tools.setTransactionId(from, to);
      await projection.refresh();
      return {};
    },
  };
}

import type { DeviceName } from '../format/ids.js';
import type { ServedPool } from '../service/pool-service.js';
import type { SnapshotIndex } from './snapshot-index.js';

/** A change of devices; the index and the projection follow it whatever happens. */
export function changing<T>(
  { served, index }: { readonly served: ServedPool; readonly index: SnapshotIndex },
  names: readonly DeviceName[],
  change: () => Promise<T>,
): Promise<T> {
  return served.changes.run(names, async () => {
    try {
      return await change();
    } finally {
      for (const name of names) index.note(name);
    }
  });
}

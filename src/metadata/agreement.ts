import { ThinError } from '../errors/thin-error.js';
import type { DeviceRecord } from '../format/device-record.js';
import { optionsKey } from '../format/keys.js';
import { unseal } from '../format/seal.js';
import type { PoolTotals, Superblock } from '../format/superblock.js';
import type { KvReader } from '../store/key-value.js';

/**
 * How the superblock contradicts what else is stored: something is lost, or it is of another pool, or of
 * another time.
 */
export interface Disagreement {
  readonly problem: string;
  /** A count that the rest of the metadata determines. */
  readonly isCount: boolean;
}

/** @param found undefined where it is not known how many there should be, because some could not be read */
export function disagreements(
  { totals, time, remoteChunks = 0 }: Superblock,
  devices: readonly DeviceRecord[],
  found: Readonly<Record<keyof PoolTotals | 'remote', number | undefined>>,
): readonly Disagreement[] {
  const problems: Disagreement[] = [];
  if (totals !== undefined)
    for (const what of ['devices', 'chunks', 'nodes'] as const)
      if (found[what] !== undefined && found[what] !== totals[what])
        problems.push({
          problem: `it counts ${totals[what]} ${what} where ${found[what]} are: something is lost, or it is not of this pool and time`,
          isCount: what !== 'devices',
        });
  if (found.remote !== undefined && found.remote !== remoteChunks)
    problems.push({
      problem: `it counts ${remoteChunks} remote chunks where ${found.remote} are: something is lost, or it is not of this pool and time`,
      isCount: false,
    });
  for (const record of devices)
    if (record.snapTime > time)
      problems.push({
        problem: `it is older than device ${record.id}, or of another pool`,
        isCount: false,
      });
  return problems;
}

/**
 * The uuid of the pool whose options these are; undefined where they do not say, as those of an older
 * thinfuse.
 * @throws ThinError damaged
 */
export function optionsOwner(store: KvReader): string | undefined {
  return storedOptions(store, (value) => {
    const { pool } = value as { pool?: unknown };
    return typeof pool === 'string' ? pool : undefined;
  });
}

/** What `read` makes of the JSON that is stored; it may throw. @throws ThinError damaged */
export function storedOptions<T>(store: KvReader, read: (value: unknown) => T): T {
  const bytes = store.getSync(optionsKey);
  if (bytes === undefined) throw new ThinError('damaged', 'options: missing');
  const text = Buffer.from(unseal('options', 0, bytes, 'options')).toString('utf8');
  try {
    return read(JSON.parse(text));
  } catch (cause) {
    throw new ThinError('damaged', 'options: no JSON, or not the fields of pool options', { cause });
  }
}

export function foreignOptions({ uuid }: Superblock, owner: string | undefined): string | undefined {
  return owner === undefined || owner === uuid
    ? undefined
    : `it is of the pool ${uuid}, and the options beside it are of ${owner}`;
}

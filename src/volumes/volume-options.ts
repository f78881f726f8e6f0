import { closest } from 'fastest-levenshtein';
import { parseDeviceSize } from '../config/limits.js';
import type { FilesystemType } from '../config/pool-options.js';
import { ThinError } from '../errors/thin-error.js';

/** What `docker volume create -o KEY=VALUE` can ask for. */
export interface VolumeOptions {
  /** Bytes; a clone has at least its origin's. */
  readonly size: number | undefined;
  /** A volume, or any other device, that it becomes a writable clone of. */
  readonly from: string | undefined;
  readonly filesystem: FilesystemType | undefined;
  /** Bytes that it may map of the pool, those included that it shares. */
  readonly quota: number | undefined;
}

const KEYS = ['size', 'from', 'fs', 'quota'] as const;
type Key = (typeof KEYS)[number];

/** @throws ThinError unknown-option (naming the nearest one), invalid-argument */
export function parseVolumeOptions(given: Readonly<Record<string, string>>): VolumeOptions {
  for (const key of Object.keys(given))
    if (!isKey(key))
      throw new ThinError(
        'unknown-option',
        `a volume has no option ${JSON.stringify(key)}; did you mean ${closest(key, [...KEYS])}? There are ${KEYS.join(', ')}`,
      );
  const { size, from, fs, quota } = given as Partial<Record<Key, string>>;
  if (from === '')
    throw new ThinError('invalid-argument', 'from: name the volume that the new one is a clone of');
  if (fs !== undefined && fs !== 'xfs' && fs !== 'ext4')
    throw new ThinError('invalid-argument', `fs: ${JSON.stringify(fs)}: volumes can have xfs or ext4`);
  if (from !== undefined && fs !== undefined)
    throw new ThinError(
      'invalid-argument',
      'fs and from cannot go together: a clone has the filesystem of its origin',
    );
  return {
    size: size === undefined ? undefined : parseDeviceSize(size, 'size'),
    from,
    filesystem: fs,
    quota: quota === undefined ? undefined : parseDeviceSize(quota, 'quota'),
  };
}

function isKey(key: string): key is Key {
  return (KEYS as readonly string[]).includes(key);
}

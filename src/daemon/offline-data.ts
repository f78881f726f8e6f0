import { readlink, realpath } from 'node:fs/promises';
import type { DataLabel } from '../format/data-label.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { openDataFile } from '../store/data-file.js';
import { readLabel } from '../store/data-labels.js';
import { dataLink } from './pool-folder.js';
import type { RootLayout } from '../config/root-layout.js';

/** The data of a `direct` pool that no process has open, as its label describes it. */
export interface OfflineData {
  /** Absolute, without symbolic links. */
  readonly path: string;
  readonly label: DataLabel;
}

/**
 * Undefined: the root names no data, as that of a `leveldb` pool.
 * @throws ThinError not-found, busy, permission, damaged (no label, or those of two pools), wrong-version
 */
export async function offlineData(layout: RootLayout): Promise<OfflineData | undefined> {
  const path = await dataPath(layout);
  if (path === undefined) return undefined;
  const file = await openDataFile(path);
  try {
    const label = await readLabel(file, path);
    if (label === undefined)
      throw new ThinError(
        'damaged',
        `${path} does not carry a pool's label at its start or its end; put the right file or device in its place, or, if this is the right one, write both labels again with: thinfuse repair --accept-data`,
        { details: { path } },
      );
    return { path, label };
  } finally {
    await file.handle.close();
  }
}

/** Where the data is, without symbolic links; undefined: the root names none. */
export async function dataPath({ pool }: RootLayout): Promise<string | undefined> {
  const link = dataLink(pool);
  const target = await readlink(link).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  return target === undefined ? undefined : realpath(link).catch(() => target);
}

import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { RootLayout } from '../config/root-layout.js';
import { dataAvailable, dataPlace } from './data-place.js';
import type { PoolInfo } from '../pool/info.js';

/** What a pool holds and can still take; bytes. */
export interface PoolSpace {
  readonly data: {
    readonly path: string;
    readonly kind: 'disk' | 'file' | 'leveldb';
    readonly total: number;
    readonly used: number;
    /** Of a `leveldb` pool: as it is packed. */
    readonly stored: number | undefined;
    /** What can still be handed out: no more than the disk below has. */
    readonly available: number;
  };
  readonly metadata: { readonly total: number; readonly used: number };
  readonly host: {
    /** What the data takes of the host's disk. */
    readonly bytes: number;
    /** What that has left; undefined: the disk is the pool's alone. */
    readonly free: number | undefined;
  };
}

export async function poolSpace(layout: RootLayout, info: PoolInfo): Promise<PoolSpace> {
  const place = await dataPlace(layout, info);
  const { dataTotal: total, dataUsed: used, dataStored: stored, metadataTotal, metadataUsed } = info;
  return {
    data: { path: place.path, kind: place.kind, total, used, stored, available: dataAvailable(info, place) },
    metadata: { total: metadataTotal, used: metadataUsed },
    host: {
      bytes: place.kind === 'disk' ? total : await bytesBelow(place.path),
      free: place.hostFree,
    },
  };
}

/** Of a file, or of the files of a folder. One that goes meanwhile counts nothing. */
async function bytesBelow(place: string): Promise<number> {
  const found = await stat(place);
  if (!found.isDirectory()) return found.blocks * 512;
  const sizes = (await readdir(place)).map(async (name) => {
    const file = await stat(path.join(place, name)).catch(() => undefined);
    return file?.isFile() === true ? file.blocks * 512 : 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

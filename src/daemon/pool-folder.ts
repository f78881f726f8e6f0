import { existsSync, readlinkSync, statSync } from 'node:fs';
import path from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { pidOf } from '../format/maker.js';
import type { RootLayout } from '../config/root-layout.js';

/** Whether the root holds a pool; LevelDB names its current manifest in this file. */
export function hasPool(layout: RootLayout): boolean {
  return existsSync(path.join(layout.pool, 'CURRENT'));
}

/** The process that makes the pool; undefined if the pool is complete or absent. */
export function makerOfPool({ beingMade }: RootLayout): string | undefined {
  try {
    return readlinkSync(beingMade);
  } catch {
    return undefined;
  }
}

/**
 * @throws ThinError no-pool (also if it is incomplete, except for its maker and the maker's child),
 * permission
 */
export function requirePool(layout: RootLayout): void {
  const maker = makerOfPool(layout);
  if (maker !== undefined && ![process.pid, process.ppid].includes(pidOf(maker) ?? 0))
    throw new ThinError(
      'no-pool',
      `the pool in ${layout.root} is not complete: thinfuse init is still making it, or was interrupted; run thinfuse init again, which begins anew`,
      { details: { path: layout.root } },
    );
  try {
    statSync(layout.pool);
  } catch (error) {
    const options = { cause: error, details: { path: layout.root } };
    if (systemErrorCode(error) === 'EACCES')
      throw new ThinError(
        'permission',
        `the pool in ${layout.root} belongs to root; run this as root`,
        options,
      );
    throw new ThinError(
      'no-pool',
      `there is no pool in ${layout.root}; make one with: thinfuse init --root ${layout.root}`,
      options,
    );
  }
}

/**
 * Where the root says which file or device holds its data: a link in the pool's folder, after Docker's
 * `devicemapper/data`.
 */
export function dataLink(poolFolder: string): string {
  return path.join(poolFolder, 'data');
}

import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { RootLayout } from './root-layout.js';

/** Whether the root holds a pool; LevelDB names its current manifest in this file. */
export function hasPool(layout: RootLayout): boolean {
  return existsSync(path.join(layout.pool, 'CURRENT'));
}

/** @throws ThinError no-pool, permission */
export function requirePool(layout: RootLayout): void {
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

import { existsSync } from 'node:fs';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';
import type { RootLayout } from './root-layout.js';

/** Whether the root holds a pool; LevelDB names its current manifest in this file. */
export function hasPool(layout: RootLayout): boolean {
  return existsSync(path.join(layout.pool, 'CURRENT'));
}

/** @throws ThinError no-pool */
export function requirePool(layout: RootLayout): void {
  if (hasPool(layout) || existsSync(layout.pool)) return;
  throw new ThinError(
    'no-pool',
    `there is no pool in ${layout.root}; make one with: thinfuse init --root ${layout.root}`,
    { details: { path: layout.root } },
  );
}

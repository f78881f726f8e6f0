import { realpath, rm } from 'node:fs/promises';
import { ThinError } from '../errors/thin-error.js';
import type { Exec } from '../host/exec.js';
import { readSuperblock } from '../metadata/open-metadata.js';
import { openPoolStore } from '../store/pool-store.js';
import { clearLeftovers } from './leftovers.js';
import { dataLink } from './pool-folder.js';
import { endUnfinished } from './init-data.js';
import { clearRoot, deadMaker } from './init-root.js';
import type { RootLayout } from '../config/root-layout.js';

/**
 * Takes away what an `init` or a `repair` left that was killed, so that the root is as before it: nothing is
 * in a pool that was never whole. One that lacks only the end of its making gets that. Data that carries the
 * label of another pool stays as it is. Returns whether something was taken away. Errors: busy (its maker is
 * at work), locked (its daemon still ends), damaged (its store lacks acknowledged commits).
 */
export async function clearHalfMade(layout: RootLayout, exec: Exec): Promise<boolean> {
  const maker = await deadMaker(layout);
  if (maker === undefined) return false;
  const uuid = await uuidOf(layout);
  const data = await realpath(dataLink(layout.pool)).catch(() => undefined);
  if (uuid !== undefined && data !== undefined && (await endUnfinished(data, uuid)) === 'whole') {
    await rm(layout.beingMade);
    return false;
  }
  await clearLeftovers(layout, exec);
  await clearRoot(layout);
  return true;
}

/**
 * Undefined where it has come to none. The daemon that made its filesystem may still be about to end. @throws
 * ThinError locked
 */
async function uuidOf(layout: RootLayout): Promise<string | undefined> {
  try {
    const store = await openPoolStore(layout.pool);
    try {
      return readSuperblock(store).uuid;
    } finally {
      await store.close();
    }
  } catch (error) {
    if (error instanceof ThinError && (error.code === 'locked' || isOlder(error))) throw error;
    return undefined;
  }
}

/** The store lacks acknowledged commits, so the pool was in use and is not removed. */
function isOlder({ details }: ThinError): boolean {
  return 'acknowledged' in details;
}

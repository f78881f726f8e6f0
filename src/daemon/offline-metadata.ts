import { open, symlink, type FileHandle } from 'node:fs/promises';
import { ThinError } from '../errors/thin-error.js';
import { putSuperblock, repairOperations } from '../metadata/auto-repair.js';
import type { Superblock } from '../format/superblock.js';
import { ChildProcessExec } from '../host/exec.js';
import { runCheck, type Check } from '../metadata/check.js';
import { readSuperblock } from '../metadata/open-metadata.js';
import { frozenMetadata, type FrozenMetadata } from '../pool/pool-tools.js';
import { repairPool, type RepairReport } from '../pool/repair-pool.js';
import { restorePool, type RestoreOptions, type RestoreReport } from '../pool/restore-pool.js';
import { openedFile } from '../store/data-file.js';
import { readLabel } from '../store/data-labels.js';
import { openLevelStore } from '../store/level-store.js';
import type { KeyValue } from '../store/key-value.js';
import type { CheckInput, CheckReport, MetadataCaller } from './api.js';
import { clearHalfMade } from './half-made.js';
import { dataLink } from './init-data.js';
import { prepareRoot } from './init-root.js';
import { refuseLive } from './live-socket.js';
import { offlineData } from './offline-data.js';
import { textOperations } from './operations/text-operations.js';
import { requirePool } from './pool-folder.js';
import { rootLayout, type RootLayout } from './root-layout.js';
import { parseTextInput } from './schemas.js';

/** The metadata tools on a pool that nobody has open, and which need not be well enough to be opened. */
export interface OfflineMetadata extends MetadataCaller {
  close(): Promise<void>;
}

/** Errors: no-pool, locked, damaged (LevelDB's own files). */
export async function openMetadataOffline(layout: RootLayout): Promise<OfflineMetadata> {
  requirePool(layout);
  const store = await openLevelStore(layout.pool);
  const texts = textOperations(() => frozenStore(layout, store));
  return {
    check: (input) => checkStore(store, input),
    text: (name, input) => texts[name](parseTextInput(name, input)),
    close: () => store.close(),
  };
}

async function frozenStore(layout: RootLayout, store: KeyValue): Promise<FrozenMetadata> {
  const data = await openedData(layout);
  return frozenMetadata(store, {
    close: async () => data?.handle.close(),
    data,
    onDamage: () => markDamaged(store),
  });
}

/** Undefined also where it cannot be opened, which is not for every tool to mind. */
async function openedData({
  pool,
}: RootLayout): Promise<{ readonly handle: FileHandle; readonly start: number } | undefined> {
  const handle = await open(dataLink(pool), 'r').catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    const label = await readLabel(await openedFile(handle), dataLink(pool));
    return { handle, start: label?.start ?? 0 };
  } catch {
    await handle.close();
    return undefined;
  }
}

/** As an open pool does when it meets damage. A superblock that cannot be read says as much by itself. */
async function markDamaged(store: KeyValue): Promise<void> {
  const superblock = superblockOf(store);
  if (superblock === undefined || superblock.needsCheck) return;
  await store.batch([putSuperblock({ ...superblock, needsCheck: true })], { sync: true });
}

function superblockOf(store: KeyValue): Superblock | undefined {
  try {
    return readSuperblock(store);
  } catch {
    return undefined;
  }
}

/** `CheckReport` of a store that only this process has. */
export async function checkStore(store: KeyValue, input: CheckInput): Promise<CheckReport> {
  let check = await runCheck(store, { depth: input.depth });
  let repaired = 0;
  if (input.autoRepair === true) {
    const { findings } = check.result();
    const operations = findings.length > 0 ? await repairOperations(store, check) : undefined;
    if (operations !== undefined) {
      await store.batch(operations, { sync: true });
      repaired = findings.length;
      check = await runCheck(store);
    }
  }
  const clean = check.result().findings.length === 0;
  if (clean && input.clearNeedsCheck === true && check.superblock?.needsCheck === true) {
    await store.batch([putSuperblock({ ...check.superblock, needsCheck: false })], { sync: true });
    return reportOf(check, { needsCheck: false, repaired });
  }
  return reportOf(check, { needsCheck: check.superblock?.needsCheck ?? false, repaired });
}

function reportOf(check: Check, state: { needsCheck: boolean; repaired: number }): CheckReport {
  const result = check.result();
  const { superblock } = check;
  return {
    ok: result.findings.length === 0,
    ...result,
    ...state,
    transactionId: superblock?.transactionId ?? 0,
    metadataFree: superblock === undefined ? 0 : superblock.nodes - result.nodes,
  };
}

/** Errors: already-running, no-pool, locked, and as `restorePool`. */
export async function restoreOffline(
  layout: RootLayout,
  text: AsyncIterable<string>,
  options: Pick<RestoreOptions, 'replace' | 'overrides'>,
): Promise<RestoreReport> {
  await refuseLive(layout.socket);
  requirePool(layout);
  const data = await offlineData(layout);
  const store = await openLevelStore(layout.pool);
  try {
    return await restorePool(store, text, { ...options, data: data?.label });
  } finally {
    await store.close();
  }
}

/**
 * Makes the root `into`, which is empty or missing. The data of a `direct` pool stays where it is: then both roots name it.
 * Errors: already-running, no-pool, locked, exists, not-empty, and as `repairPool`.
 */
export async function repairOffline(
  layout: RootLayout,
  into: string,
): Promise<RepairReport & { readonly data: string | undefined }> {
  const target = rootLayout(into);
  if (target.root === layout.root)
    throw new ThinError(
      'invalid-argument',
      `${layout.root} is the pool that is to be repaired; give --output another folder`,
    );
  await refuseLive(layout.socket);
  requirePool(layout);
  const data = await offlineData(layout);
  const from = await openLevelStore(layout.pool);
  try {
    await clearHalfMade(target, new ChildProcessExec());
    const fresh = await prepareRoot(target);
    try {
      const to = await openLevelStore(target.pool, { createIfMissing: true, errorIfExists: true });
      try {
        const report = await repairPool(from, to, { data: data?.label });
        if (data !== undefined) await symlink(data.path, dataLink(target.pool));
        await fresh.finish();
        return { ...report, data: data?.path };
      } finally {
        await to.close();
      }
    } catch (error) {
      await fresh.undo();
      throw error;
    }
  } finally {
    await from.close();
  }
}

import { open, type FileHandle } from 'node:fs/promises';
import { ThinError } from '../errors/thin-error.js';
import { putSuperblock, repairOperations } from '../metadata/auto-repair.js';
import type { Superblock } from '../format/superblock.js';
import { runCheck, type Check, type Finding } from '../metadata/check.js';
import { readSuperblock } from '../metadata/open-metadata.js';
import { frozenMetadata, type FrozenMetadata } from '../pool/pool-tools.js';
import { restorePool, type RestoreOptions, type RestoreReport } from '../pool/restore-pool.js';
import { openedFile } from '../store/data-file.js';
import { readLabel } from '../store/data-labels.js';
import type { FileDepth } from '../store/level-table-check.js';
import type { KeyValue } from '../store/key-value.js';
import { salvageLog } from '../store/pool-log.js';
import { openPoolStore } from '../store/pool-store.js';
import type { CheckInput, CheckReport, MetadataCaller } from '../api/operations.js';
import { dataLink, requirePool } from './pool-folder.js';
import { refuseLive } from '../api/live-socket.js';
import { offlineData } from './offline-data.js';
import { textOperations } from './operations/text-operations.js';
import { DATA_PATH, openDataOf } from './pool-data.js';
import type { RootLayout } from '../config/root-layout.js';
import { parseTextInput } from './schemas.js';

/** The metadata tools on a pool that no process has open. The pool may be too damaged to be opened. */
export interface OfflineMetadata extends MetadataCaller {
  close(): Promise<void>;
}

/**
 * @param verify how much is read of LevelDB's own files beforehand
 * Errors: no-pool, locked, damaged (LevelDB's own files, or older than what was acknowledged).
 */
export async function openMetadataOffline(
  layout: RootLayout,
  onNote: (text: string) => void = () => undefined,
  verify?: FileDepth,
): Promise<OfflineMetadata> {
  requirePool(layout);
  const store = await openPoolStore(layout.pool, { onNote, verify });
  const texts = textOperations(() => frozenStore(layout, store));
  return {
    check: async (input) => {
      const log = await reportLog(layout, store);
      const found = [...logFindings(log), ...(await dataFindings(layout, store, onNote))];
      return { ...(await checkStore(store, input, found)), logged: log.changes };
    },
    text: (name, input) => texts[name](parseTextInput(name, input)),
    close: () => store.close(),
  };
}

async function frozenStore(layout: RootLayout, store: KeyValue): Promise<FrozenMetadata> {
  const data = await openedData(layout);
  const { changes } = await reportLog(layout, store);
  return frozenMetadata(store, {
    isBehind: changes > 0,
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

interface LogReport {
  /** It lacks something that the store counts on. */
  readonly problem: ThinError | undefined;
  /** Changes in it that the store does not have. */
  readonly changes: number;
}

/** Of a superblock that cannot be read, its own finding tells. */
export async function reportLog({ pool }: RootLayout, store: KeyValue): Promise<LogReport> {
  const superblock = superblockOf(store);
  if (superblock === undefined) return { problem: undefined, changes: 0 };
  const request = { uuid: superblock.uuid, isDirect: superblock.kind === 'direct' };
  try {
    const log = await salvageLog(pool, store, request);
    return { problem: log?.problem, changes: log?.records.length ?? 0 };
  } catch (error) {
    if (!(error instanceof ThinError) || isNewer(error)) throw error;
    return { problem: error, changes: 0 };
  }
}

function logFindings({ problem }: LogReport): readonly Finding[] {
  if (problem === undefined) return [];
  return [{ path: 'log', problem: problem.message, fatal: true, repairable: false }];
}

/** Nothing is wrong with what a newer thinfuse wrote, and nothing is to be repaired. */
function isNewer(error: unknown): boolean {
  return error instanceof ThinError && error.code === 'wrong-version';
}

/** Faults of the data of a `direct` pool. Only the metadata describes its content. */
async function dataFindings(
  layout: RootLayout,
  store: KeyValue,
  onNote: (text: string) => void,
): Promise<readonly Finding[]> {
  const superblock = superblockOf(store);
  if (superblock?.kind !== 'direct') return [];
  try {
    const { handle, mended } = await openDataOf(layout, superblock);
    for (const text of mended) onNote(text);
    await handle.close();
    return [];
  } catch (error) {
    if (!(error instanceof ThinError) || isNewer(error)) throw error;
    return [{ path: DATA_PATH, problem: error.message, fatal: true, repairable: false }];
  }
}

/** `CheckReport` of a store that only this process has; `found`: of what is not in it. */
async function checkStore(
  store: KeyValue,
  input: CheckInput,
  found: readonly Finding[] = [],
): Promise<CheckReport> {
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
  const clean = check.result().findings.length + found.length === 0;
  if (clean && input.clearNeedsCheck === true && check.superblock?.needsCheck === true) {
    await store.batch([putSuperblock({ ...check.superblock, needsCheck: false })], { sync: true });
    return reportOf(check, { needsCheck: false, repaired, found });
  }
  return reportOf(check, { needsCheck: check.superblock?.needsCheck ?? false, repaired, found });
}

function reportOf(
  check: Check,
  { found, ...state }: { needsCheck: boolean; repaired: number; found: readonly Finding[] },
): CheckReport {
  const result = check.result();
  const { superblock } = check;
  const findings = [...found, ...result.findings];
  return {
    ok: findings.length === 0,
    ...result,
    findings,
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
  // The restored metadata replaces commits that are missing.
  const store = await openPoolStore(layout.pool, { acceptOlder: true });
  try {
    return await restorePool(store, text, { ...options, data: data?.label });
  } finally {
    await store.close();
  }
}

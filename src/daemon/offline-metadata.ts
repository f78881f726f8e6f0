import { open, symlink, type FileHandle } from 'node:fs/promises';
import { projectedNames } from '../docker/projected-names.js';
import { ThinError } from '../errors/thin-error.js';
import { putSuperblock, repairOperations } from '../metadata/auto-repair.js';
import type { Superblock } from '../format/superblock.js';
import { ChildProcessExec } from '../host/exec.js';
import { runCheck, type Check, type Finding } from '../metadata/check.js';
import { readSuperblock } from '../metadata/open-metadata.js';
import { frozenMetadata, type FrozenMetadata } from '../pool/pool-tools.js';
import { repairPool, type RepairReport } from '../pool/repair-pool.js';
import { restorePool, type RestoreOptions, type RestoreReport } from '../pool/restore-pool.js';
import { openedFile } from '../store/data-file.js';
import { readLabel } from '../store/data-labels.js';
import { openToRepair } from '../store/level-repair.js';
import type { FileDepth } from '../store/level-table-check.js';
import type { KeyValue, KvReader } from '../store/key-value.js';
import { missingCommits, type OlderStore } from '../store/marked-store.js';
import { acceptLog, checkLog, countsOnLog, readLogState } from '../store/pool-log.js';
import { makePoolStore, openPoolStore } from '../store/pool-store.js';
import type { CheckInput, CheckReport, MetadataCaller } from '../api/operations.js';
import { clearHalfMade } from './half-made.js';
import { dataLink, requirePool } from './pool-folder.js';
import { prepareRoot } from './init-root.js';
import { refuseLive } from '../api/live-socket.js';
import { offlineData } from './offline-data.js';
import { textOperations } from './operations/text-operations.js';
import { DATA_PATH, openDataOf } from './pool-data.js';
import { rootLayout, type RootLayout } from '../config/root-layout.js';
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
    check: async (input) =>
      checkStore(store, input, [
        ...(await logFindings(layout, store)),
        ...(await dataFindings(layout, store, onNote)),
      ]),
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

async function logFindings(layout: RootLayout, store: KeyValue): Promise<readonly Finding[]> {
  const error = await logProblem(layout, store);
  if (error === undefined) return [];
  return [{ path: 'log', problem: error.message, fatal: true, repairable: false }];
}

/**
 * Undefined: the log has what the store counts on. Of a superblock that cannot be read, its own finding
 * tells.
 */
async function logProblem({ pool }: RootLayout, store: KeyValue): Promise<ThinError | undefined> {
  const superblock = superblockOf(store);
  if (superblock === undefined) return undefined;
  try {
    await checkLog(pool, store, { uuid: superblock.uuid, isDirect: superblock.kind === 'direct' });
    return undefined;
  } catch (error) {
    if (!(error instanceof ThinError) || isNewer(error)) throw error;
    return error;
  }
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

export interface OfflineRepair extends RepairReport {
  /** Where the data of a `direct` pool stays. */
  readonly data: string | undefined;
  /** Commits that were acknowledged, and that the damaged pool lacks. */
  readonly older: OlderStore | undefined;
}

/**
 * Makes the root `into`, which is empty or missing. The data of a `direct` pool stays where it is: then both
 * roots name it. Errors: already-running, no-pool, locked, exists, not-empty, and as `repairPool`.
 */
export async function repairOffline(layout: RootLayout, into: string): Promise<OfflineRepair> {
  const target = rootLayout(into);
  if (target.root === layout.root)
    throw new ThinError(
      'invalid-argument',
      `${layout.root} is the pool that is to be repaired; give --output another folder`,
    );
  await refuseLive(layout.socket);
  requirePool(layout);
  const data = await offlineData(layout);
  const from = await openToRepair(layout.pool);
  try {
    const hasLog = leavesLog(from);
    await clearHalfMade(target, new ChildProcessExec());
    const fresh = await prepareRoot(target);
    try {
      const to = await makePoolStore(target.pool);
      try {
        const report = await repairPool(from, to, { data: data?.label, lost: from.lost });
        if (data !== undefined) await symlink(data.path, dataLink(target.pool));
        await fresh.finish();
        const lost = named(report.lost, await projectedNames(layout.metadata));
        if (hasLog)
          lost.unshift({
            path: 'log',
            problem:
              'what was synced or answered since the last commit is in the log of the damaged pool, and does not come along',
          });
        if (from.older !== undefined)
          lost.unshift({ path: 'pool', problem: `it lacks ${missingCommits(from.older)}` });
        return { ...report, lost, data: data?.path, older: from.older };
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

/** With the names of devices whose records do not tell them any more. */
function named(
  lost: RepairReport['lost'],
  names: ReadonlyMap<number, string>,
): RepairReport['lost'][number][] {
  return lost.map(({ path, problem }) => {
    const name = names.get(Number(/^device (\d+)$/.exec(path)?.[1]));
    return { path: name === undefined ? path : `${path} (${name})`, problem };
  });
}

export interface AcceptReport {
  /** Undefined: the pool has every commit that was acknowledged. */
  readonly older: OlderStore | undefined;
  /** Faults of the pool's log; the next start takes its readable part. */
  readonly log: string | undefined;
  readonly transactionId: number;
  /** The data was not taken back with the metadata. */
  readonly direct: boolean;
}

/**
 * Takes a pool that lacks its last commits as it is, from now on. Nothing else of it changes.
 * Errors: already-running, no-pool, locked, damaged (LevelDB's own files, the superblock).
 */
export async function acceptOlder(layout: RootLayout): Promise<AcceptReport> {
  await refuseLive(layout.socket);
  requirePool(layout);
  const store = await openPoolStore(layout.pool, { acceptOlder: true });
  try {
    const { transactionId, kind } = readSuperblock(store);
    const lacksLog = await logProblem(layout, store);
    const state = lacksLog === undefined ? undefined : readLogState(store);
    await store.batch(state === undefined ? [] : [acceptLog(state)], { sync: true, landmark: true });
    return { older: store.older, log: lacksLog?.message, transactionId, direct: kind === 'direct' };
  } finally {
    await store.close();
  }
}

function leavesLog(from: KvReader): boolean {
  try {
    return countsOnLog(from);
  } catch (error) {
    if (isNewer(error)) throw error;
    return true;
  }
}

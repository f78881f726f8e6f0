import { symlink } from 'node:fs/promises';
import { refuseLive } from '../api/live-socket.js';
import { rootLayout, type RootLayout } from '../config/root-layout.js';
import { projectedNames } from '../docker/projected-names.js';
import { ThinError } from '../errors/thin-error.js';
import type { NodeLimits } from '../format/node.js';
import { ChildProcessExec } from '../host/exec.js';
import { readSuperblock } from '../metadata/open-metadata.js';
import { openToRepair } from '../store/level-repair.js';
import { missingCommits, type OlderStore } from '../store/marked-store.js';
import { acceptLog, leaveLog, readLogState } from '../store/pool-log.js';
import { makePoolStore, openPoolStore } from '../store/pool-store.js';
import { clearHalfMade } from './half-made.js';
import { prepareRoot } from './init-root.js';
import { offlineData } from './offline-data.js';
import { reportLog } from './offline-metadata.js';
import { dataLink, requirePool } from './pool-folder.js';
import { repairWithLog, type RepairWithLog } from './repair-with-log.js';

export interface OfflineRepair extends RepairWithLog {
  /** Where the data of a `direct` pool stays. */
  readonly data: string | undefined;
  /** Commits that were acknowledged, and that the damaged pool's store lacks. */
  readonly older: OlderStore | undefined;
}

/**
 * Makes the root `into`, which is empty or missing. It also takes what the log has beyond the store, also
 * where the store lacks commits that the log has still. The data of a `direct` pool stays where it is: then
 * both roots name it. Errors: already-running, no-pool, locked, exists, not-empty, and as `repairPool`.
 */
export async function repairOffline(
  layout: RootLayout,
  into: string,
  { limits }: { readonly limits?: NodeLimits } = {},
): Promise<OfflineRepair> {
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
    await clearHalfMade(target, new ChildProcessExec());
    const fresh = await prepareRoot(target);
    try {
      const to = await makePoolStore(target.pool);
      try {
        const report = await repairWithLog(layout.pool, { from, to, data, limits });
        if (data !== undefined) await symlink(data.path, dataLink(target.pool));
        await fresh.finish();
        const lost = named(report.lost, await projectedNames(layout.metadata));
        if (from.older !== undefined)
          lost.unshift({
            path: 'pool',
            problem: `its store lacks ${missingCommits(from.older)}; of those, only what the log has came along`,
          });
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
  lost: RepairWithLog['lost'],
  names: ReadonlyMap<number, string>,
): RepairWithLog['lost'][number][] {
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
  /** The log follows commits that are missing, and is left out with them. */
  readonly leftLog: boolean;
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
    const { problem } = await reportLog(layout, store);
    const state = readLogState(store);
    // A start does a log again over the commit that it follows, and over no older one.
    const leftLog = store.older !== undefined && state !== undefined && !state.closed && !state.without;
    const taken =
      state === undefined
        ? []
        : leftLog
          ? [leaveLog(state)]
          : problem === undefined
            ? []
            : [acceptLog(state)];
    await store.batch(taken, { sync: true, landmark: true });
    return { older: store.older, log: problem?.message, leftLog, transactionId, direct: kind === 'direct' };
  } finally {
    await store.close();
  }
}

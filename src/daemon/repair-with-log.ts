import { ThinError } from '../errors/thin-error.js';
import { deviceId } from '../format/ids.js';
import { deviceKey } from '../format/keys.js';
import type { NodeLimits } from '../format/node.js';
import { readSuperblock } from '../metadata/open-metadata.js';
import { redoLog } from '../pool/redo-log.js';
import { repairPool, type RepairReport } from '../pool/repair-pool.js';
import type { KeyValue } from '../store/key-value.js';
import type { RepairReader } from '../store/level-repair.js';
import { openPoolData } from '../store/pool-data.js';
import { salvageLog, type SalvagedLog } from '../store/pool-log.js';
import type { OfflineData } from './offline-data.js';

interface RepairParts {
  readonly from: RepairReader;
  readonly to: KeyValue;
  readonly data: OfflineData | undefined;
  readonly limits?: NodeLimits | undefined;
}

export interface RepairWithLog extends Omit<RepairReport, 'lostChunks'> {
  /** Records of the damaged pool's log that came along. */
  readonly logged: number;
}

/**
 * `repairPool`, and then what the damaged pool's log has beyond its store: that is no less acknowledged.
 * @param folder where that log is
 * @throws ThinError as `repairPool` and `redoLog`
 */
export async function repairWithLog(folder: string, parts: RepairParts): Promise<RepairWithLog> {
  const { from, to, data, limits } = parts;
  const repaired = await repairPool(from, to, {
    data: data?.label,
    lost: from.lost,
    ...(limits !== undefined && { limits }),
  });
  const { lostChunks: _, ...report } = repaired;
  const log = await takeLog(folder, repaired, parts);
  return { ...report, lost: [...log.lost, ...report.lost], logged: log.records };
}

/** What the log has beyond the store goes to the new pool. */
async function takeLog(
  folder: string,
  repaired: RepairReport,
  { from, to, data, limits }: RepairParts,
): Promise<{ readonly records: number; readonly lost: RepairReport['lost'] }> {
  const lost: { path: string; problem: string }[] = [];
  const log = await readableLog(folder, from, data).catch((error: unknown) => {
    // What a newer thinfuse wrote is not damaged, and not to be repaired.
    if (!(error instanceof ThinError) || error.code === 'wrong-version') throw error;
    lost.push({
      path: 'log',
      problem: `what was synced or answered since the last commit does not come along: ${error.message}`,
    });
    return undefined;
  });
  if (log?.problem !== undefined)
    lost.push({
      path: 'log',
      problem: `what was synced or answered since the last commit came along only as far as it can be read: ${causeOf(log.problem).message}`,
    });
  if (log === undefined || log.records.length === 0) return { records: 0, lost };
  const redone = await redoLog(to, log.records, {
    changed: log.state.changed,
    isLost: (id) => isLostDevice(from, repaired, id),
    lostChunks: repaired.lostChunks,
    ...(limits !== undefined && { limits }),
    ...(data !== undefined && { data: await openedData(to, data) }),
  });
  return { records: redone.records, lost: [...lost, ...redone.lost] };
}

/** @throws ThinError */
function readableLog(
  folder: string,
  from: RepairReader,
  data: OfflineData | undefined,
): Promise<SalvagedLog | undefined> {
  let uuid: string | undefined;
  try {
    uuid = readSuperblock(from).uuid;
  } catch {
    // The log's own number, which is in the store as well, tells it from others.
  }
  return salvageLog(folder, from, { uuid, isDirect: data !== undefined });
}

function causeOf(error: ThinError): ThinError {
  return error.cause instanceof ThinError ? error.cause : error;
}

/** Without a way to punch holes: a chunk that is free for a while here has the data that it gets later. */
async function openedData(
  to: KeyValue,
  { path }: OfflineData,
): Promise<{ handle: Awaited<ReturnType<typeof openPoolData>>['handle']; start: number }> {
  const { handle, label } = await openPoolData(path, readSuperblock(to));
  return { handle, start: label.start };
}

function isLostDevice(from: RepairReader, { lost }: RepairReport, device: number): boolean {
  return from.isLost(deviceKey(deviceId(device))) || lost.some(({ path }) => path === `device ${device}`);
}

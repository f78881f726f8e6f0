import { damage } from '../format/damage.js';
import {
  LOG_LINE,
  LogKind,
  logSalt,
  readRecord,
  syncedThrough,
  type LogRecord,
} from '../format/log-record.js';
import type { ThinError } from '../errors/thin-error.js';

/** Where a log begins to count, and what is known of it from elsewhere. */
export interface LogBounds {
  readonly id: string;
  readonly epoch: number;
  readonly position: number;
  /** The file has all that was written, synced or not: no machine has stopped since. */
  readonly isWhole: boolean;
  /** The synced position in the mark; undefined: none, or of another epoch. */
  readonly marked: number | undefined;
  /**
   * Data went to a data file: only what was written before it was synced is known to be there, unless the
   * file has all.
   */
  readonly isDirect: boolean;
  /** How messages name the file. */
  readonly path: string;
}

export interface ReadLog {
  /** In the order in which things were done; of a log that is damaged, up to there. */
  readonly records: readonly LogRecord[];
  /** Where they end. */
  readonly end: number;
  /** Something that was promised is not there. */
  readonly problem: ThinError | undefined;
}

/**
 * The records from `position` on. A machine that stopped leaves any of the sectors that were not synced, so
 * that the records end before the first that is not whole; where a later one, or the mark, says that this
 * place was synced, it is damage. A process that dies leaves an END behind the last.
 */
export function readLog(ring: Buffer, bounds: LogBounds): ReadLog {
  const { position, path } = bounds;
  const salt = logSalt(bounds.id, bounds.epoch);
  const records: LogRecord[] = [];
  let end = position;
  let isEnded = false;
  let dataThrough = position;
  for (; end - position <= ring.length;) {
    const record = readRecord(ring, end % ring.length, salt);
    if (record?.position !== end) break;
    if (record.kind === LogKind.END) {
      isEnded = true;
      break;
    }
    end += record.length;
    if (record.kind === LogKind.SYNCED) dataThrough = Math.max(dataThrough, syncedThrough(record));
    else if (record.kind !== LogKind.SKIP) records.push(record);
  }
  const known = Math.max(bounds.marked ?? 0, isEnded ? 0 : laterSync(ring, end, position, salt));
  const counts =
    bounds.isDirect && !bounds.isWhole ? records.filter((record) => record.position < dataThrough) : records;
  let problem: ThinError | undefined;
  if (known > end) problem = damage(path, `it was synced up to byte ${known} and can be read up to ${end}`);
  else if (bounds.isWhole && !isEnded) problem = damage(path, `there is no whole record at byte ${end}`);
  return { records: counts, end, problem };
}

/** The synced position in a record after the end; 0: there is no such record. */
function laterSync(ring: Buffer, end: number, position: number, salt: number): number {
  let most = 0;
  for (let at = end; at < position + ring.length; at += LOG_LINE) {
    const record = readRecord(ring, at % ring.length, salt);
    if (record?.position === at) most = Math.max(most, record.synced);
  }
  return most;
}

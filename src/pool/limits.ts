import { totalmem } from 'node:os';

/** Bytes: what is read and written most; more helps reads of cold chunks. */
const MOST_CACHED = 256 * 2 ** 20;
const LEAST_CACHED = 16 * 2 ** 20;

/**
 * Default size of the chunk cache in bytes: a sixteenth of the machine's memory, or of the control group's
 * limit if that is less.
 * @param limit of the control group; 0, or more than the machine has: none
 */
export function defaultChunkCache(total = totalmem(), limit = process.constrainedMemory()): number {
  const memory = limit > 0 ? Math.min(total, limit) : total;
  return Math.min(MOST_CACHED, Math.max(LEAST_CACHED, Math.floor(memory / 16)));
}

const MOST_STAGED = 32 * 2 ** 20;
const LEAST_STAGED = 2 ** 20;

/**
 * Default of `stagedBytes`: a sixteenth of the chunk cache, since each chunk that waits for a commit has a
 * frame of it. The more waits, the more of it is overwritten before it is written: an fsync waits for the log
 * alone.
 */
export function defaultStaged(chunkCache: number): number {
  return Math.min(MOST_STAGED, Math.max(LEAST_STAGED, Math.floor(chunkCache / 16)));
}
export const COMMIT_INTERVAL = 1000;
export const WAIT_STEP = 100;
/** Bytes given back that are worth a compaction. */
export const COMPACT_FROM = 64 * 2 ** 20;
/** Devices that are described before others get their turn: each may take one way down its tree. */
export const DEVICES_PER_STEP = 64;

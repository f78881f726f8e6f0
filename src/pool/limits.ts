/** What is read and written most; more helps reads of cold chunks. */
export const CHUNK_CACHE = 256 * 2 ** 20;
/** Synced batches of 4 MiB lose little speed, longer ones hold up an fsync behind them. */
export const STAGED_BYTES = 8 * 2 ** 20;
export const COMMIT_INTERVAL = 1000;
export const WAIT_STEP = 100;
/** Bytes given back that are worth a compaction. */
export const COMPACT_FROM = 64 * 2 ** 20;
/** Devices that are described before others get their turn: each may take one way down its tree. */
export const DEVICES_PER_STEP = 64;

import { open } from 'node:fs/promises';
import { LogScan, LOG_BLOCK, type LogEnd, type LogReader } from './level-log-scan.js';

/** Blocks that are read at a time. */
const WINDOW = 64;

/**
 * Reads a log's records in their order, up to what is wrong with it. Only what the file held when it was
 * opened: a log that grows meanwhile has a whole end, or one that looks cut off.
 * @throws the file system's error
 */
export async function readLog(path: string, reader: LogReader): Promise<LogEnd> {
  const scan = new LogScan(reader);
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const window = Buffer.alloc(Math.min(LOG_BLOCK * WINDOW, size));
    for (let at = 0; at < size; at += window.length) {
      const { bytesRead } = await handle.read(window, 0, Math.min(window.length, size - at), at);
      for (let from = 0; from < bytesRead; from += LOG_BLOCK)
        scan.block(window.subarray(from, Math.min(from + LOG_BLOCK, bytesRead)), at + from);
      if (bytesRead < window.length) break;
    }
  } finally {
    await handle.close();
  }
  return scan.end();
}

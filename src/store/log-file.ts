import { randomUUID } from 'node:crypto';
import { constants, readFileSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { MARK_BYTES, type CommitNumber } from '../format/commit-number.js';
import { LOG_HEAD_BYTES, packLogHead, unpackLogHead, type LogHead } from '../format/log-state.js';
import { readSlots, type ReadMark } from './commit-mark.js';
import { fileError } from './level-errors.js';
import { syncFolder } from './level-folder.js';
import { replaceFile } from './replaced-file.js';

/** In the store's folder, beside LevelDB's files. */
export const LOG_FILE = 'pool-log';
/** Says, outside of the log, how far it was synced; never more than it has. */
const LOG_MARK_FILE = 'log-mark';

/** The parts of `FileHandle` that are used; reads and writes use the descriptor. */
export type LogHandle = Pick<FileHandle, 'fd' | 'read' | 'datasync' | 'close'>;

export interface OpenLogFile {
  readonly head: LogHead;
  readonly handle: LogHandle;
  /** Undefined: none could be made; then damage at the end of the log may go unseen. */
  readonly mark: LogHandle | undefined;
  /** The running kernel and the file on it. */
  readonly place: string;
}

/** How a pool's log is reached in its folder. */
export interface LogFiles {
  /** Undefined: there is none. @throws ThinError damaged (its head, or its end is missing), io, permission */
  open(folder: string): Promise<OpenLogFile | undefined>;
  /**
   * Puts a new one, durable, in the place of whatever is there. @throws ThinError no-space, io, permission,
   * read-only
   */
  make(folder: string, pool: string, ring: number): Promise<void>;
  /** The position in the log's mark; an invalid slot does not count. @throws ThinError wrong-version, io */
  readMark(folder: string, counts: (slot: CommitNumber) => boolean): Promise<ReadMark>;
}

const PIECE = 2 ** 20;

/**
 * Puts a new log in the place of whatever is there. Every byte of it is written, and not only allocated: a
 * sync of a file whose extents are unwritten would wait for the file system's journal each time.
 */
async function makeLogFile(folder: string, pool: string, ring: number): Promise<void> {
  await replaceFile(path.join(folder, LOG_FILE), async (handle) => {
    await handle.write(packLogHead({ pool, id: randomUUID(), ring }), 0, LOG_HEAD_BYTES, 0);
    const zeroes = new Uint8Array(PIECE);
    for (let at = 0; at < ring;) {
      const length = Math.min(PIECE, ring - at);
      const { bytesWritten } = await handle.write(zeroes, 0, length, LOG_HEAD_BYTES + at);
      at += bytesWritten;
    }
  });
}

async function openLogFile(folder: string): Promise<OpenLogFile | undefined> {
  const file = path.join(folder, LOG_FILE);
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, 'r+');
    const bytes = new Uint8Array(LOG_HEAD_BYTES);
    await handle.read(bytes, 0, LOG_HEAD_BYTES, 0);
    const head = unpackLogHead(bytes, file);
    const { size, dev, ino } = await handle.stat();
    if (size !== LOG_HEAD_BYTES + head.ring)
      throw new ThinError('damaged', `${file} has ${size} bytes, not ${LOG_HEAD_BYTES + head.ring}`);
    return { head, handle, mark: await openMark(folder), place: `${bootId()} ${dev} ${ino}` };
  } catch (error) {
    await handle?.close();
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw fileError(file, error);
  }
}

async function openMark(folder: string): Promise<FileHandle | undefined> {
  const file = path.join(folder, LOG_MARK_FILE);
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, constants.O_RDWR | constants.O_CREAT, 0o600);
    if ((await handle.stat()).size < MARK_BYTES) {
      await handle.write(new Uint8Array(MARK_BYTES), 0, MARK_BYTES, 0);
      await handle.sync();
      await syncFolder(folder);
    }
    return handle;
  } catch {
    await handle?.close();
    return undefined;
  }
}

/** Of the running kernel; another one each time where it cannot be told. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return randomUUID();
  }
}

export const logFiles: LogFiles = {
  open: openLogFile,
  make: makeLogFile,
  readMark: (folder, counts) => readSlots(path.join(folder, LOG_MARK_FILE), counts),
};

import { systemErrorCode, ThinError, type ThinErrorCode } from '../errors/thin-error.js';

/** LevelDB keeps errno only as strerror(3)'s text, in the C locale. */
const TEXTS: readonly (readonly [text: string, errno: string])[] = [
  ['No space left on device', 'ENOSPC'],
  ['Disk quota exceeded', 'EDQUOT'],
  ['Permission denied', 'EACCES'],
  ['Operation not permitted', 'EPERM'],
  ['Read-only file system', 'EROFS'],
  ['Too many open files', 'EMFILE'],
  ['No such file or directory', 'ENOENT'],
  // A table that ends before the place its index points to (env_posix.cc, PosixMmapReadableFile::Read).
  ['Invalid argument', 'EINVAL'],
];

const BY_ERRNO: Readonly<Record<string, readonly [code: ThinErrorCode, next: string]>> = {
  ENOSPC: ['no-space', 'the disk under it is full: free space on it, then start again'],
  EDQUOT: ['no-space', 'the disk quota is used up: raise it or free space, then start again'],
  EACCES: ['permission', 'no permission: run as the owner of the folder, or as root'],
  EPERM: ['permission', 'not permitted: run as the owner of the folder, or as root'],
  EROFS: ['read-only', 'its disk is mounted read-only: remount it for writing'],
  EMFILE: ['io', 'too many open files: raise the limit (ulimit -n)'],
  ENFILE: ['io', 'too many open files on this machine: raise fs.file-max'],
  ENOTDIR: ['invalid-argument', 'a part of this path is a file: give another path'],
  ENAMETOOLONG: ['invalid-argument', 'the path is too long: give a shorter one'],
};

/** What to do about a damaged store: one sentence, the same everywhere. */
export const DAMAGED_NEXT =
  'copy the folder away before anything else, then try `thinfuse repair` or restore a backup';

/** `what` completes "the store … is damaged: ". */
export function damagedStore(path: string, what: string): ThinError {
  return new ThinError('damaged', `the store ${path} is damaged: ${what}; ${DAMAGED_NEXT}`, {
    details: { path },
  });
}

/** A Node file system error on `path`. */
export function fileError(path: string, error: unknown): ThinError {
  if (error instanceof ThinError) return error;
  const errno = systemErrorCode(error);
  const known = errno === undefined ? undefined : BY_ERRNO[errno];
  if (known !== undefined)
    return new ThinError(known[0], `${path}: ${known[1]}`, { cause: error, details: { path } });
  return new ThinError('io', `${path}: ${messageOf(error)}; look at the kernel log (dmesg) for the disk`, {
    cause: error,
    details: { path },
  });
}

/**
 * An error of classic-level's on the store at `path`; `doing` completes "cannot …". Never `locked`: see
 * openLevelStore.
 */
export function levelError(path: string, doing: string, error: unknown): ThinError {
  if (error instanceof ThinError) return error;
  const origin = rootCause(error);
  const code = systemErrorCode(origin);
  const text = messageOf(origin);
  const make = (as: ThinErrorCode, next: string): ThinError =>
    new ThinError(as, `cannot ${doing} the store ${path}: ${next}`, { cause: error, details: { path } });

  if (code?.endsWith('_NOT_OPEN') === true) return make('closed', 'it is closed');
  if (code === 'LEVEL_CORRUPTION' || text.startsWith('Corruption: '))
    return make('damaged', `${text.replace(/^Corruption: /, '')}; ${DAMAGED_NEXT}`);
  const errno = BY_ERRNO[code ?? ''] === undefined ? errnoInText(text) : code;
  if (errno === 'ENOENT' || errno === 'EINVAL') return make('damaged', `${text}; ${DAMAGED_NEXT}`);
  const known = errno === undefined ? undefined : BY_ERRNO[errno];
  if (known !== undefined) return make(known[0], known[1]);
  return make('io', `${text}; look at the kernel log (dmesg) for the disk`);
}

export function isLocked(error: unknown): boolean {
  return systemErrorCode(rootCause(error)) === 'LEVEL_LOCKED';
}

/** Another process made the store between our look and LevelDB's. */
export function isThere(error: unknown): boolean {
  return messageOf(rootCause(error)).endsWith('exists (error_if_exists is true)');
}

function errnoInText(text: string): string | undefined {
  return TEXTS.find(([known]) => text.endsWith(known))?.[1];
}

/** abstract-level wraps what went wrong on opening in LEVEL_DATABASE_NOT_OPEN. */
function rootCause(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? rootCause(error.cause) : error;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

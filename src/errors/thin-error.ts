/**
 * The closed list of failures. One row a code: the errno that FUSE answers with and the exit code of the CLI.
 * Exit codes: 1 the operation failed, 2 bad input, 3 not found, 4 exists, 5 busy, 6 no space, 7 damaged, 8
 * the environment lacks something, 9 no permission or read-only, 10 done, but what was shown is not all there
 * is, 11 no daemon runs, 141 (as a shell reports SIGPIPE) the reader is gone.
 */
const TABLE = {
  'invalid-argument': { errno: 22, exit: 2 }, // EINVAL
  'unknown-option': { errno: 22, exit: 2 },
  'not-found': { errno: 2, exit: 3 }, // ENOENT
  'no-pool': { errno: 2, exit: 3 },
  exists: { errno: 17, exit: 4 }, // EEXIST
  'not-empty': { errno: 39, exit: 4 }, // ENOTEMPTY
  busy: { errno: 16, exit: 5 }, // EBUSY
  locked: { errno: 16, exit: 5 },
  'not-running': { errno: 111, exit: 11 }, // ECONNREFUSED
  'already-running': { errno: 16, exit: 5 },
  'no-space': { errno: 28, exit: 6 }, // ENOSPC
  'too-large': { errno: 27, exit: 2 }, // EFBIG
  damaged: { errno: 5, exit: 7 }, // EIO
  'check-failed': { errno: 5, exit: 1 }, // thin_check's exit code
  'wrong-version': { errno: 5, exit: 7 },
  io: { errno: 5, exit: 1 },
  'read-only': { errno: 30, exit: 9 }, // EROFS
  permission: { errno: 1, exit: 9 }, // EPERM
  incomplete: { errno: 5, exit: 10 },
  unsupported: { errno: 95, exit: 8 }, // EOPNOTSUPP
  'missing-tool': { errno: 2, exit: 8 },
  'missing-device': { errno: 19, exit: 8 }, // ENODEV
  'tool-failed': { errno: 5, exit: 1 },
  timeout: { errno: 110, exit: 1 }, // ETIMEDOUT
  closed: { errno: 108, exit: 1 }, // ESHUTDOWN
  'reader-gone': { errno: 32, exit: 141 }, // EPIPE
  internal: { errno: 5, exit: 1 },
} as const satisfies Record<string, { errno: number; exit: number }>;

export type ThinErrorCode = keyof typeof TABLE;

/** Every code, for tests and for validating what comes over the wire. */
export const THIN_ERROR_CODES = Object.keys(TABLE) as readonly ThinErrorCode[];

export function isThinErrorCode(value: unknown): value is ThinErrorCode {
  return typeof value === 'string' && Object.hasOwn(TABLE, value);
}

/**
 * A failure that a user can meet. The message names the things involved (device, pool, path) and says what to
 * do next. `details` carries the same things for machines: numbers and strings only.
 */
export class ThinError extends Error {
  override readonly name = 'ThinError';
  readonly code: ThinErrorCode;
  readonly details: Readonly<Record<string, string | number>>;

  constructor(
    code: ThinErrorCode,
    message: string,
    options: { cause?: unknown; details?: Record<string, string | number> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  /** Positive errno as in errno(3); FUSE answers with its negation. */
  get errno(): number {
    return TABLE[this.code].errno;
  }

  get exitCode(): number {
    return TABLE[this.code].exit;
  }
}

/**
 * Anything thrown, as a ThinError; what is not one already is a bug and becomes `internal`, with its cause
 * kept.
 */
export function toThinError(error: unknown): ThinError {
  if (error instanceof ThinError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ThinError('internal', message, { cause: error });
}

/** The errno of a Node system error (`error.code`, such as 'ENOSPC'), or undefined. */
export function systemErrorCode(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

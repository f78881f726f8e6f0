import { isThinErrorCode, toThinError, ThinError } from '../errors/thin-error.js';

/** Where operations live on the control socket: `POST /v1/<operation>`. */
export const OPERATIONS_PATH = '/v1/';

/** An error as it crosses the control socket, and as `--json` prints it. */
export interface WireError {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly details: Readonly<Record<string, string | number>>;
  };
}

export function packError(thrown: unknown): WireError {
  const { code, message, details } = toThinError(thrown);
  return { error: { code, message, details } };
}

/** The error that the other side packed; `internal` where it is none. */
export function unpackError(body: unknown): ThinError {
  const { error } = Object(body) as { readonly error?: unknown };
  const { code, message, details = {} } = Object(error) as Partial<Record<string, unknown>>;
  if (isThinErrorCode(code) && typeof message === 'string' && isDetails(details))
    return new ThinError(code, message, { details });
  return new ThinError(
    'internal',
    `the daemon's answer is not understood: ${JSON.stringify(body).slice(0, 200)}`,
  );
}

/**
 * By hand: every command loads this module, and a library of schemas takes longer to load than most of them
 * to run.
 */
function isDetails(value: unknown): value is Record<string, string | number> {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((each) => typeof each === 'string' || typeof each === 'number')
  );
}

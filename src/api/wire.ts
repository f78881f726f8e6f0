import { z } from 'zod';
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

const wireError = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    details: z.record(z.string(), z.union([z.string(), z.number()])).default({}),
  }),
});

export function packError(thrown: unknown): WireError {
  const { code, message, details } = toThinError(thrown);
  return { error: { code, message, details } };
}

/** The error that the other side packed; `internal` where it is none. */
export function unpackError(body: unknown): ThinError {
  const parsed = wireError.safeParse(body);
  if (!parsed.success || !isThinErrorCode(parsed.data.error.code))
    return new ThinError(
      'internal',
      `the daemon's answer is not understood: ${JSON.stringify(body).slice(0, 200)}`,
    );
  const { code, message, details } = parsed.data.error;
  return new ThinError(code, message, { details });
}

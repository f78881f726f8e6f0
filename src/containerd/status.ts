import type { ThinErrorCode } from '../errors/thin-error.js';

/** gRPC's status codes (google.rpc.Code), as far as a snapshotter answers with them. */
export const STATUS = {
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;
export type Status = (typeof STATUS)[keyof typeof STATUS];

const OF_CODE: Partial<Record<ThinErrorCode, Status>> = {
  'invalid-argument': STATUS.INVALID_ARGUMENT,
  'too-large': STATUS.INVALID_ARGUMENT,
  'not-found': STATUS.NOT_FOUND,
  exists: STATUS.ALREADY_EXISTS,
  'no-space': STATUS.RESOURCE_EXHAUSTED,
  busy: STATUS.FAILED_PRECONDITION,
  unsupported: STATUS.FAILED_PRECONDITION,
  'read-only': STATUS.FAILED_PRECONDITION,
  closed: STATUS.UNAVAILABLE,
  incomplete: STATUS.UNAVAILABLE,
};

/**
 * containerd turns the four that it tells apart (errdefs/grpc.go) back into its own errors; anything else is
 * shown as it is.
 */
export function statusOf(code: ThinErrorCode): Status {
  return OF_CODE[code] ?? STATUS.INTERNAL;
}

import { ociAt } from './oci-place.js';
import type { RemoteStore } from './remote-store.js';
import type { RemotePlace } from './remote-url.js';
import { DEFAULT_RETRY, type RetryLimits } from './retry.js';
import { s3At } from './s3-place.js';

/** Milliseconds without a byte after which a request is given up and made again. */
const IDLE_MS = 20_000;
/** Requests to a store on their way at once. */
const CONNECTIONS = 24;

/**
 * The store in a place, with what the environment says of it (s3-place.ts, oci-place.ts). Asks the store
 * nothing yet. Errors: as those.
 * @param mirrors of a registry are read from, too: for what is named by its digest
 */
export function openStore(
  place: RemotePlace,
  env: Readonly<Record<string, string | undefined>>,
  {
    retry = DEFAULT_RETRY,
    idleMs = IDLE_MS,
    mirrors = false,
  }: { readonly retry?: RetryLimits; readonly idleMs?: number; readonly mirrors?: boolean } = {},
): Promise<RemoteStore> {
  const limits = { retry, idleMs, connections: CONNECTIONS };
  return place.kind === 's3' ? s3At(place, env, limits) : ociAt(place, env, { ...limits, mirrors });
}

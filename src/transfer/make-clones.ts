import type { Caller, DeviceStatus } from '../api/operations.js';
import { toThinError, type ThinError } from '../errors/thin-error.js';

/** Made in one call, which holds the pool for a moment. */
const MADE_AT_ONCE = 200;

/** Writable copies of `origin`, in the order of their names, up to the call that failed. */
export async function makeClones(
  caller: Caller,
  origin: string,
  names: readonly string[],
): Promise<{ readonly devices: readonly DeviceStatus[]; readonly failure?: ThinError }> {
  const devices: DeviceStatus[] = [];
  try {
    for (let at = 0; at < names.length; at += MADE_AT_ONCE) {
      const some = names.slice(at, at + MADE_AT_ONCE);
      devices.push(...(await caller.call('device.clone', { origin, names: some })));
    }
  } catch (error) {
    return { devices, failure: toThinError(error) };
  }
  return { devices };
}

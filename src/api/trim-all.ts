import { ThinError } from '../errors/thin-error.js';
import type { TrimResult } from '../service/device-access.js';
import type { Caller } from './operations.js';

/**
 * Trims every device that is mounted for writing, one after the other. One that is unmounted meanwhile has
 * nothing to give back.
 * @param onDevice called before each device is trimmed
 */
export async function trimAll(
  caller: Caller,
  onDevice: (name: string) => void = () => undefined,
): Promise<readonly TrimResult[]> {
  const results: TrimResult[] = [];
  for (const { name, mountPoint } of await caller.call('device.list', {})) {
    if (mountPoint === undefined) continue;
    onDevice(name);
    try {
      results.push(await caller.call('trim', { name }));
    } catch (error) {
      if (!(error instanceof ThinError) || !['not-found', 'read-only'].includes(error.code)) throw error;
    }
  }
  return results;
}

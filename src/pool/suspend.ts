import type { DeviceIo } from '../io/device-io.js';

/**
 * Runs `work` at a moment when no request is in flight on any of the devices; those that come meanwhile wait.
 */
export async function suspended<T>(
  devices: Iterable<DeviceIo>,
  work: (devices: readonly DeviceIo[]) => T | Promise<T>,
): Promise<T> {
  const all = [...devices];
  let quiesced = (): T | Promise<T> => work(all);
  for (const io of all) {
    const inner = quiesced;
    quiesced = () => io.quiesced(inner);
  }
  return quiesced();
}

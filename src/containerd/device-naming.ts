import { createHash } from 'node:crypto';
import { parseDeviceName } from '../format/device-name.js';
import type { DeviceName } from '../format/ids.js';

const DIGEST_LENGTH = 24;

/**
 * The device of a snapshot that is made under this key. A key is opaque and may be anything, a path included, so only its digest gets
 * into names. Where a device of an earlier snapshot under the same key is still there (it was committed under
 * another name, or waits for its last user), the next free number is added.
 */
export function snapshotDeviceName(key: string, isTaken: (name: DeviceName) => boolean): DeviceName {
  const stem = `containerd-${createHash('sha256').update(key).digest('hex').slice(0, DIGEST_LENGTH)}`;
  for (let number = 1; ; number++) {
    const name = parseDeviceName(number === 1 ? stem : `${stem}.${String(number)}`);
    if (!isTaken(name)) return name;
  }
}

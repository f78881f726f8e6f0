import { createHash } from 'node:crypto';
import { parseDeviceName } from '../format/device-name.js';
import type { DeviceName } from '../format/ids.js';

const DIGEST_LENGTH = 24;

/**
 * The device of a snapshot that is made under this key by who knows the snapshotter under this name. Both are
 * opaque and may be anything, a path included, so only their digest gets into names. Where a device of an
 * earlier snapshot under the same key is still there (it was committed under another key, or waits for its
 * last user), the next free number is added.
 */
export function snapshotDeviceName(
  snapshotter: string,
  key: string,
  isTaken: (name: DeviceName) => boolean,
): DeviceName {
  const digest = createHash('sha256')
    .update(JSON.stringify([snapshotter, key]))
    .digest('hex');
  const stem = `containerd-${digest.slice(0, DIGEST_LENGTH)}`;
  for (let number = 1; ; number++) {
    const name = parseDeviceName(number === 1 ? stem : `${stem}.${number}`);
    if (!isTaken(name)) return name;
  }
}

import type { Labels } from './snapshot-record.js';

/**
 * `bind`: the daemon mounts, and others bind its mount. `loop`: others mount a loop device of the daemon's.
 */
export const MOUNT_MODES = ['bind', 'loop'] as const;
export type MountMode = (typeof MOUNT_MODES)[number];

/** containerd hands labels of this prefix down from who asks for the snapshot. */
const LABEL = 'containerd.io/snapshot/thinfuse.mounts';

/** A snapshot's own choice, which comes before the daemon's. */
export function mountModeOf(labels: Labels): MountMode | undefined {
  const asked = labels[LABEL];
  return MOUNT_MODES.find((mode) => mode === asked);
}

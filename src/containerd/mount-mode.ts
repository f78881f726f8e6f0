/**
 * `bind`: the daemon mounts, and others bind its mount. `loop`: others mount a loop device of the daemon's.
 */
export const MOUNT_MODES = ['bind', 'loop'] as const;
export type MountMode = (typeof MOUNT_MODES)[number];

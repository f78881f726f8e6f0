import { openSync } from 'node:fs';

let isHeld = false;

/**
 * For a process with an open /dev/fuse: has the kernel close that before it ends the mount namespace that
 * this process may be the last one of. The end of a namespace unmounts the filesystems on loop devices whose
 * files this process serves. The exit of a process leaves its namespace first and closes its files second
 * (`do_exit` in kernel/exit.c), so the unmount would wait for ever for answers of the process that makes it.
 * A descriptor of the namespace is a file as well: what its end unmounts comes after all files are closed.
 * The descriptor stays until the process ends. A kernel without namespaces needs none.
 */
export function holdMountNamespace(): void {
  if (isHeld) return;
  try {
    openSync('/proc/self/ns/mnt', 'r');
    isHeld = true;
  } catch {
    // No namespaces, or no /proc: the mounts of such a system do not end with a process.
  }
}

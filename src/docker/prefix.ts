import { stat } from 'node:fs/promises';

/**
 * `MAJ:MIN` of a `dev_t` as stat(2) gives it, in Linux's encoding (glibc's gnu_dev_major and gnu_dev_minor).
 */
export function deviceNumber(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn & 0xffff_ffffn);
  return `${major}:${minor}`;
}

/**
 * What every device-mapper name of a pool began with, so that two roots never met: `docker-MAJ:MIN-INO` (moby
 * deviceset.go).
 */
export function prefixOf(folder: { readonly dev: bigint; readonly ino: bigint }): string {
  return `docker-${deviceNumber(folder.dev)}-${folder.ino}`;
}

/** The prefix of a pool's root; the same as long as the folder is. */
export async function devicePrefix(root: string): Promise<string> {
  return prefixOf(await stat(root, { bigint: true }));
}

export function poolName(prefix: string): string {
  return `${prefix}-pool`;
}

/** The base device is `<prefix>-base`. */
export function deviceName(prefix: string, name: string): string {
  return `${prefix}-${name}`;
}

import { ThinError } from '../errors/thin-error.js';
import type { DeviceId, DeviceName } from './ids.js';

/** The name of the one device that belongs to the pool itself and is no image. */
export const BASE_NAME = 'base' as DeviceName;

/**
 * Names a metadata/ file and an mnt/ folder, and ends an image file's name behind `docker-MAJ:MIN-INO-`
 * (about 40 bytes), so it stays well under NAME_MAX (255).
 */
export const MAX_NAME_LENGTH = 128;

const ALLOWED = /^[A-Za-z0-9][A-Za-z0-9_.:+@-]*$/;
/** Files that the projection keeps beside the devices' own in metadata/, and the pool's own image name. */
const RESERVED = new Set(['base', 'deviceset-metadata', 'transaction-metadata', 'pool']);

/** Names of devices that the daemon makes for itself; no user's name begins so. */
const HIDDEN = /^~view-\d+-\d+$/;

/**
 * Of the snapshot of device `of` in which a log was replayed; `number` tells it from others of the same
 * device.
 */
export function hiddenViewName(of: DeviceId, number: number): DeviceName {
  return `~view-${of}-${number}` as DeviceName;
}

/** Whether the device is the daemon's own, and no user's. */
export function isHidden(name: string): boolean {
  return HIDDEN.test(name);
}

/**
 * `base` passes only with `allowBase`, a hidden name only with `allowHidden`.
 * @throws ThinError invalid-argument, naming the rule that the name breaks
 */
export function parseDeviceName(
  text: string,
  options: { allowBase?: boolean; allowHidden?: boolean } = {},
): DeviceName {
  if (text === BASE_NAME && options.allowBase === true) return BASE_NAME;
  if (options.allowHidden === true && isHidden(text)) return text as DeviceName;
  const problem = nameProblem(text);
  if (problem !== undefined) throw new ThinError('invalid-argument', problem);
  return text as DeviceName;
}

function nameProblem(text: string): string | undefined {
  if (text === '') return 'a device name cannot be empty; give it at least one letter or digit';
  const shown = JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
  if (text.length > MAX_NAME_LENGTH)
    return `device name ${shown} has ${text.length} characters; ${MAX_NAME_LENGTH} are allowed`;
  if (RESERVED.has(text)) return `device name ${shown} is reserved for the pool itself; choose another`;
  if (text.includes('/')) return `device name ${shown} contains "/"; names are single path components`;
  if (!ALLOWED.test(text))
    return `device name ${shown} is not allowed: start with a letter or digit, then letters, digits and _ . : + @ -`;
  return undefined;
}

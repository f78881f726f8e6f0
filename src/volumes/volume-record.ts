import { createHash } from 'node:crypto';
import * as z from 'zod';
import { ThinError } from '../errors/thin-error.js';
import { MAX_NAME_LENGTH, parseDeviceName } from '../format/device-name.js';
import type { DeviceName } from '../format/ids.js';

/**
 * What a container engine knows of a volume. It is the label of the device that holds the files, so that
 * neither exists without the other.
 */
export interface VolumeRecord {
  readonly name: string;
  /**
   * `making`: its filesystem is being made; if that was cut off, there is no volume. `fresh`: it was never
   * mounted, so its root is still as mkfs left it.
   */
  readonly state: 'making' | 'fresh' | 'used';
  /** The options that it was made with, as they were given. */
  readonly options: Readonly<Record<string, string>>;
}

const START = 'volume:{';
const PREFIX = 'volume:';
const DEVICE_PREFIX = 'volume-';
const DIGEST_LENGTH = 24;
/** As long as a file name; engines ask for nothing longer. */
const MAX_VOLUME_NAME = 255;

/** What Docker and podman allow (docker/volume/service, podman/libpod/define). */
const ALLOWED = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

const stored = z.strictObject({
  name: z.string(),
  state: z.enum(['making', 'fresh', 'used']),
  options: z.record(z.string(), z.string()),
});

export function packVolumeRecord(record: VolumeRecord): string {
  return `${PREFIX}${JSON.stringify(record)}`;
}

/** Undefined for a device that is no volume. @throws ThinError damaged, naming `device` */
export function unpackVolumeRecord(label: string, device: string): VolumeRecord | undefined {
  if (!label.startsWith(START)) return undefined;
  try {
    return stored.parse(JSON.parse(label.slice(PREFIX.length)));
  } catch (error) {
    throw new ThinError(
      'damaged',
      `the volume record of device ${device} cannot be read; run thinfuse check, and remove the device if it is not needed`,
      { cause: error, details: { device } },
    );
  }
}

/**
 * The device of a volume: its name says which, so that no other table of volumes is needed. A name that is
 * too long for a device gets its digest's. @throws ThinError invalid-argument: no name that engines allow
 */
export function volumeDeviceName(volume: string): DeviceName {
  if (!ALLOWED.test(volume) || volume.length > MAX_VOLUME_NAME)
    throw new ThinError(
      'invalid-argument',
      `${shownName(volume)} is not a name for a volume: up to ${MAX_VOLUME_NAME} letters, digits and _ . -, the first a letter or digit`,
    );
  if (DEVICE_PREFIX.length + volume.length <= MAX_NAME_LENGTH)
    return parseDeviceName(`${DEVICE_PREFIX}${volume}`);
  const digest = createHash('sha256').update(volume).digest('hex').slice(0, DIGEST_LENGTH);
  // A plus, which no volume's name has.
  return parseDeviceName(`${DEVICE_PREFIX}+${digest}`);
}

/** As messages show a name that may be anything. */
export function shownName(name: string): string {
  return JSON.stringify(name.length > 60 ? `${name.slice(0, 60)}…` : name);
}

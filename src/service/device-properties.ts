import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';
import type { Automount, Labels } from '../format/device-properties.js';
import { mountTarget } from '../host/own-paths.js';
import type { RootLayout } from '../config/root-layout.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { DeviceChanges } from './device-changes.js';
import { existingName, type Devices, type DeviceStatus } from './devices.js';

/** As Docker and Kubernetes have them. */
const KEY = /^[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$/;
const MAX_VALUE = 1024;
/** They are written with each commit that changes the device. */
const MAX_LABELS = 64;
const MAX_OPTIONS = 1024;

export interface DevicePropertiesParts {
  readonly layout: RootLayout;
  readonly pool: ThinPool;
  readonly changes: DeviceChanges;
  readonly devices: Devices;
}

/**
 * What a user says about a device and the device's record keeps. Errors of all: not-found, busy (marked
 * deleted, not whole), invalid-argument, read-only.
 */
export class DeviceProperties {
  readonly #parts: DevicePropertiesParts;

  constructor(parts: DevicePropertiesParts) {
    this.#parts = parts;
  }

  /** How the device is mounted at each start of the daemon; undefined: not at all. Mounts nothing now. */
  async setAutomount(given: string, automount: Automount | undefined): Promise<DeviceStatus> {
    const name = existingName(given);
    const { layout, pool, changes, devices } = this.#parts;
    if (automount !== undefined) {
      if (automount.target !== '') await mountTarget(layout, automount.target);
      if (automount.options.length > MAX_OPTIONS)
        throw invalid(name, `mount options of more than ${MAX_OPTIONS} characters`);
    }
    const target = automount === undefined || automount.target === '' ? '' : path.resolve(automount.target);
    if (target !== '') await this.#refuseTaken(name, target);
    return changes.run([name], async () => {
      const { kind, label } = devices.requireLive(name);
      if (automount !== undefined) {
        if (kind === 'base') throw invalid(name, 'an automount: it belongs to the pool');
        if (label !== '') throw invalid(name, 'an automount: the program that it belongs to mounts it');
        if (kind === 'image' && !automount.readOnly)
          throw invalid(name, 'an automount for writing: it is an image; give --ro');
      }
      await pool.update(name, { automount: automount && { ...automount, target } });
      return devices.get(name);
    });
  }

  /** Null takes a label away; those that are not named stay. `maker`: of a device that it makes. */
  async setLabels(
    given: string,
    change: Readonly<Record<string, string | null>>,
    maker?: string,
  ): Promise<DeviceStatus> {
    const name = existingName(given);
    const { pool, changes, devices } = this.#parts;
    return changes.run([name], async () => {
      const { kind, labels = {} } = devices.requireLive(name, maker);
      if (kind === 'base') throw invalid(name, 'labels: it belongs to the pool');
      await pool.update(name, { labels: changedLabels(name, labels, change) });
      return devices.get(name);
    });
  }

  async #refuseTaken(name: string, target: string): Promise<void> {
    for await (const other of this.#parts.pool.eachDevice())
      if (other.name !== name && other.automount?.target === target)
        throw new ThinError(
          'exists',
          `device ${other.name} is mounted on ${target} at each start already; choose another target, or: thinfuse automount ${other.name} --off`,
          { details: { device: other.name, target } },
        );
  }
}

/** @throws ThinError invalid-argument */
export function changedLabels(
  name: string,
  before: Labels,
  change: Readonly<Record<string, string | null>>,
): Labels {
  const after = new Map(Object.entries(before));
  for (const [key, value] of Object.entries(change)) {
    if (!KEY.test(key))
      throw invalid(name, `the label ${JSON.stringify(key)}: letters, digits and . _ / - inside, up to 128`);
    if (value === null) after.delete(key);
    else if (value.length > MAX_VALUE || /\p{Cc}/u.test(value))
      throw invalid(name, `that value of ${key}: up to ${MAX_VALUE} characters in one line`);
    else after.set(key, value);
  }
  if (after.size > MAX_LABELS) throw invalid(name, `more than ${MAX_LABELS} labels`);
  return Object.fromEntries([...after].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function invalid(name: string, what: string): ThinError {
  return new ThinError('invalid-argument', `device ${name} cannot have ${what}`, {
    details: { device: name },
  });
}

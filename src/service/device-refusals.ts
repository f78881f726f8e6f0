import { ThinError } from '../errors/thin-error.js';
import { KEPT_PART, PUSHED } from '../format/device-record.js';
import type { DeviceName } from '../format/ids.js';
import { pidOf } from '../format/maker.js';
import type { DeviceInfo, DeviceKind } from '../pool/info.js';

function withArticle(kind: DeviceKind): string {
  if (kind === 'base') return 'the base device';
  return kind === 'image' ? 'an image' : `a ${kind}`;
}

/** A container starts from an image, every other copy of a device is a snapshot. @throws ThinError */
export function requireOrigin(origin: DeviceInfo, kind: DeviceKind): void {
  if (kind === 'container' && origin.kind !== 'image')
    throw new ThinError(
      'invalid-argument',
      `a container starts from an image, and ${origin.name} is ${withArticle(origin.kind)}; take a snapshot of it (thinfuse snapshot NEW ${origin.name}) or commit it first`,
      { details: { device: origin.name } },
    );
  if (origin.kind === 'base') requireFormatted(origin);
}

/** @throws ThinError damaged */
export function requireFormatted(base: DeviceInfo): void {
  if (!base.initialized)
    throw new ThinError(
      'damaged',
      'the base device has no filesystem, because its making was cut off; remove the root and run thinfuse init again',
    );
}

/** Bytes; less than this holds no filesystem's own blocks. */
const LEAST_LIMIT = 2 ** 20;

/** @throws ThinError invalid-argument */
export function requireLimit(name: DeviceName, limit: number): void {
  if (limit === 0 || (Number.isSafeInteger(limit) && limit >= LEAST_LIMIT)) return;
  throw new ThinError(
    'invalid-argument',
    `a limit of ${limit} bytes is too small for ${name}; give at least 1M, or none`,
    { details: { device: name } },
  );
}

/** @throws ThinError invalid-argument */
export function refuseBase(device: DeviceInfo, what: string): void {
  if (device.kind === 'base')
    throw new ThinError('invalid-argument', `the base device belongs to the pool and ${what}`, {
      details: { device: device.name },
    });
}

/** @throws ThinError busy */
export function requireWhole({ name, maker }: DeviceInfo): void {
  if (maker === '') return;
  throw new ThinError(
    'busy',
    maker === PUSHED
      ? `device ${name} holds the state of the last push, which the next push compares with; use the device that was pushed, or remove this one with: thinfuse rm ${name}`
      : maker === KEPT_PART
        ? `device ${name} is a part that receive --keep-partial kept; continue with thinfuse receive, or remove it with: thinfuse rm ${name}`
        : `the process ${String(pidOf(maker.split('@')[0] ?? ''))} is making device ${name}, which is not complete; if that process is gone, remove the device with thinfuse doctor --fix, else with: thinfuse rm --force ${name}`,
    { details: { device: name } },
  );
}

/** The program that keeps a label with a device relies on the device. @throws ThinError busy */
export function refuseLabelled({ name, label }: DeviceInfo, what: string): void {
  if (label !== '')
    throw new ThinError(
      'busy',
      `device ${name} belongs to a program that uses the pool (its label begins ${JSON.stringify(label.slice(0, 40))}) and cannot be ${what}; remove it there, as with: ctr snapshots rm, docker volume rm`,
      { details: { device: name } },
    );
}

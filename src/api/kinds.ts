import { ThinError } from '../errors/thin-error.js';
import type { DeviceKind } from '../pool/info.js';
import type { Caller, DeviceStatus } from './operations.js';

/** The device, if it is of the kind that the command is about. Errors: not-found, invalid-argument. */
export async function requireKind(caller: Caller, name: string, kind: DeviceKind): Promise<DeviceStatus> {
  const device = await caller.call('device.get', { name });
  if (device.kind === kind) return device;
  throw new ThinError(
    'invalid-argument',
    `device ${name} is of kind ${device.kind} and not ${kind}; thinfuse ${kind} ls shows those that are`,
    { details: { device: name } },
  );
}

import { ThinError } from '../errors/thin-error.js';
import type { DeviceInfo } from '../pool/info.js';

/** @throws ThinError invalid-argument */
export function refuseUnmountable(device: DeviceInfo, readOnly: boolean): void {
  if (device.kind === 'base')
    throw new ThinError(
      'invalid-argument',
      'the base device belongs to the pool and is not mounted; make a device of it with: thinfuse snapshot NAME base',
    );
  if (device.kind === 'image' && !readOnly)
    throw new ThinError(
      'invalid-argument',
      `device ${device.name} is an image and does not change; mount it with --ro, or make a container of it: thinfuse container create NAME --image ${device.name}`,
    );
}

/** A disk is not damaged for having no filesystem. @throws ThinError unsupported; or `error` */
export function refuseBlank({ name, content }: DeviceInfo, error: unknown): never {
  if (content !== 'raw' || !(error instanceof ThinError) || error.code !== 'damaged') throw error;
  throw new ThinError(
    'unsupported',
    `device ${name} is a disk without a filesystem; make one with: mkfs.ext4 $(thinfuse activate ${name})`,
    { cause: error, details: { device: name } },
  );
}

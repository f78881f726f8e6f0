import { ThinError } from '../errors/thin-error.js';

/**
 * @param quota bytes; 0 for none. @throws ThinError invalid-argument: less than the device maps, so that it
 * could never be written to
 */
export function requireQuota(name: string, quota: number, mappedChunks: number, blockSize: number): void {
  const mapped = mappedChunks * blockSize;
  if (!Number.isSafeInteger(quota) || quota < 0)
    throw new ThinError('invalid-argument', `a quota cannot be ${quota} bytes; 0 means no limit`);
  if (quota !== 0 && quota < mapped)
    throw new ThinError(
      'invalid-argument',
      `device ${name} maps ${mapped} bytes already, those included that it shares; give it a quota of at least that`,
      { details: { device: name } },
    );
}

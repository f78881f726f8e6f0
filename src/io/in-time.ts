import { ThinError } from '../errors/thin-error.js';

/**
 * The work, for as long as its caller has patience; it goes on by itself after that.
 * @param patience milliseconds; undefined: without end
 * Errors: io, where it took longer; those of the work.
 */
export function inTime(
  work: Promise<void> | undefined,
  patience: number | undefined,
): Promise<void> | undefined {
  if (work === undefined || patience === undefined) return work;
  return new Promise((resolve, reject) => {
    const late = (): void =>
      reject(new ThinError('io', 'the chunk is in a store, and the read has waited too long for it'));
    const timer = setTimeout(late, patience);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

import type { Incompleteness } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';

/**
 * Behind the result, which is there all the same: says by the exit code that it lacks something, and what.
 * @throws ThinError incomplete
 */
export function requireComplete(name: string, { lacks }: Incompleteness): void {
  if (lacks !== undefined) throw new ThinError('incomplete', lacks, { details: { device: name } });
}

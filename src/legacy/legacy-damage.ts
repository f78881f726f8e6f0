import { ThinError } from '../errors/thin-error.js';

/**
 * Something in an old pool that is not what dm-thin wrote. `path` leads to it, such as `device 3 / node block
 * 17`.
 */
export function legacyDamage(path: string, problem: string): ThinError {
  return new ThinError('damaged', `${path} is damaged: ${problem}`, { details: { path, problem } });
}

/** What the damage is, without the path in front. */
export function problemOf(error: ThinError): string {
  return String(error.details['problem'] ?? error.message);
}

/** The path of a damage. */
export function pathOf(error: ThinError): string {
  return String(error.details['path'] ?? 'the old pool');
}

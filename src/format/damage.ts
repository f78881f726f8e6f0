import { ThinError } from '../errors/thin-error.js';

/** A stored value that is not what was written. `path` names its key, as `describeKey` does. */
export function damage(path: string, problem: string): ThinError {
  return new ThinError(
    'damaged',
    `${path} is damaged: ${problem}; run \`thinfuse check\` to see what else is, then \`thinfuse repair\` or restore a backup`,
    { details: { path } },
  );
}

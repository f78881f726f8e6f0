import * as z from 'zod';
import { ThinError } from '../errors/thin-error.js';

/** Docker's other settings are not ours to judge. */
const DAEMON_JSON = z.looseObject({
  'storage-driver': z.string().optional(),
  'storage-opts': z.array(z.string()).optional(),
});

/**
 * The `storage-opts` of a daemon.json as Docker reads it, for `parseStorageOptions`; empty where it has none.
 * @param path where the text is from, for messages
 * @throws ThinError invalid-argument: no JSON, the wrong shape, or another storage driver's options
 */
export function readStorageOpts(text: string, path: string): readonly string[] {
  const parsed = DAEMON_JSON.safeParse(parseJson(text, path));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue === undefined || issue.path.length === 0 ? 'its top' : issue.path.join('.');
    throw new ThinError(
      'invalid-argument',
      `${path}: ${where}: ${issue?.message ?? 'not as expected'}; write {"storage-opts": ["dm.basesize=20G"]}`,
      { details: { path } },
    );
  }
  const { 'storage-driver': driver, 'storage-opts': options } = parsed.data;
  if (driver !== undefined && driver !== 'devicemapper' && options !== undefined && options.length > 0)
    throw new ThinError(
      'invalid-argument',
      `${path}: its storage-opts are for the storage driver ${driver}; give a file whose storage-driver is devicemapper, or is left out`,
      { details: { path } },
    );
  return options ?? [];
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ThinError('invalid-argument', `${path} is not JSON: ${reason}; correct it and try again`, {
      cause: error,
      details: { path },
    });
  }
}

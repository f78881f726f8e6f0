import { ThinError } from '../errors/thin-error.js';
import { COMPRESSIONS, type Compression, type LiveOptions } from './pool-options.js';
import { formatBinarySize } from './sizes.js';
import { parseStorageOptions } from './storage-options.js';

/**
 * What may change while the pool serves, by its `dm.` key without that; as `parseStorageOptions` reads it.
 */
const SHOWN: Readonly<Record<string, (options: Partial<LiveOptions>) => string | undefined>> = {
  thinp_autoextend_threshold: shown('autoextendThreshold', (value) => `${value}%`),
  thinp_autoextend_percent: shown('autoextendPercent', (value) => `${value}%`),
  min_free_space: shown('minFreeSpace', (value) => `${value}%`),
  queue_if_no_space: shown('errorIfNoSpace', (value) => `${!value}`),
  no_space_timeout: shown('noSpaceTimeout', (value) => `${value}`),
  low_water_mark: shown('lowWater', mark),
  metadata_low_water_mark: shown('metadataLowWater', mark),
  origin_timeout: shown('originTimeout', (value) => `${value}`),
  compression: shown('compression', (value) => value),
};

export const LIVE_KEYS = Object.keys(SHOWN);

function shown<Name extends keyof LiveOptions>(
  name: Name,
  show: (value: LiveOptions[Name]) => string,
): (options: Partial<LiveOptions>) => string | undefined {
  return ({ [name]: value }) => (value === undefined ? undefined : show(value));
}

function mark(bytes: number): string {
  return bytes === 0 ? 'auto' : formatBinarySize(bytes);
}

/** Every setting, as it would be given; without those that a daemon of an older version does not have. */
export function liveSettings(options: Partial<LiveOptions>): Readonly<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const [key, show] of Object.entries(SHOWN)) {
    const text = show(options);
    if (text !== undefined) all[key] = text;
  }
  return all;
}

/**
 * A change of settings, from `KEY=VALUE` with or without `dm.` before it.
 * @throws ThinError unknown-option; invalid-argument (a value that cannot be, an option that is fixed while
 *   the pool serves)
 */
export function parseLiveSettings(texts: readonly string[]): Partial<LiveOptions> {
  // No key of Docker's, so that `init --opt` has it under a flag of its own.
  const codecs = texts.filter((text) => COMPRESSION.test(text));
  const full = texts
    .filter((text) => !COMPRESSION.test(text))
    .map((text) => (/^dm\./i.test(text) ? text : `dm.${text}`));
  const { pool } = parseStorageOptions(full);
  for (const text of full) requireLiveKey(text.slice(0, text.indexOf('=')).trim().toLowerCase());
  const codec = codecs.at(-1);
  return codec === undefined ? pool : { ...pool, compression: parseCompression(codec) };
}

const COMPRESSION = /^(dm\.)?compression=/i;

function parseCompression(text: string): Compression {
  const value = text.slice(text.indexOf('=') + 1).trim();
  const found = COMPRESSIONS.find((each) => each === value);
  if (found !== undefined) return found;
  throw new ThinError(
    'invalid-argument',
    `compression=${value}: one of ${COMPRESSIONS.join(', ')} is needed`,
  );
}

/** The key without `dm.`. @throws ThinError invalid-argument */
export function requireLiveKey(given: string): string {
  const key = given.replace(/^dm\./i, '');
  if (Object.hasOwn(SHOWN, key)) return key;
  throw new ThinError(
    'invalid-argument',
    `${given} is no setting that changes while the pool serves; those are ${LIVE_KEYS.join(', ')}`,
  );
}

import { ThinError } from '../errors/thin-error.js';
import { COMPRESSIONS, type Compression, type LiveOptions } from './pool-options.js';
import { suggestion } from './nearest.js';
import { parseCacheSize } from './limits.js';
import { formatBinarySize } from './sizes.js';
import { parseStorageOptions } from './storage-options.js';

type Value = string | number | boolean | null;

interface Setting {
  /** As it would be given; undefined, here and below, of a daemon that does not have it. */
  readonly text: (options: Partial<LiveOptions>) => string | undefined;
  readonly value: (options: Partial<LiveOptions>) => Value | undefined;
}

/**
 * What may change while the pool serves, by its `dm.` key without that; as `parseStorageOptions` reads it.
 */
const SETTINGS: Readonly<Record<string, Setting>> = {
  thinp_autoextend_threshold: setting('autoextendThreshold', (value) => `${value}%`),
  thinp_autoextend_percent: setting('autoextendPercent', (value) => `${value}%`),
  min_free_space: setting('minFreeSpace', (value) => `${value}%`),
  queue_if_no_space: setting(
    'errorIfNoSpace',
    (value) => `${!value}`,
    (value) => !value,
  ),
  no_space_timeout: setting('noSpaceTimeout', String),
  low_water_mark: setting('lowWater', sizeText, sizeValue),
  metadata_low_water_mark: setting('metadataLowWater', sizeText, sizeValue),
  origin_timeout: setting('originTimeout', String),
  compression: setting('compression', (value) => value),
  cache_size: setting('cacheSize', sizeText, sizeValue),
};

export const LIVE_KEYS = Object.keys(SETTINGS);

function setting<Name extends keyof LiveOptions>(
  name: Name,
  text: (value: LiveOptions[Name]) => string,
  value: (value: LiveOptions[Name]) => Value = (given) => given,
): Setting {
  const of =
    <T>(show: (value: LiveOptions[Name]) => T) =>
    ({ [name]: given }: Partial<LiveOptions>): T | undefined =>
      given === undefined ? undefined : show(given);
  return { text: of(text), value: of(value) };
}

/** 0: what the program chooses. */
function sizeText(bytes: number): string {
  return bytes === 0 ? 'auto' : formatBinarySize(bytes);
}

function sizeValue(bytes: number): number | null {
  return bytes === 0 ? null : bytes;
}

/** Every setting, as it would be given; without those that a daemon of an older version does not have. */
export function liveSettings(options: Partial<LiveOptions>): Readonly<Record<string, string>> {
  return present((key) => SETTINGS[key]!.text(options));
}

/** The same for scripts: percent and seconds as numbers, sizes in bytes, null for what is automatic. */
export function liveValues(options: Partial<LiveOptions>): Readonly<Record<string, Value>> {
  return present((key) => SETTINGS[key]!.value(options));
}

function present<T>(of: (key: string) => T | undefined): Readonly<Record<string, T>> {
  const entries = LIVE_KEYS.map((key): [string, T | undefined] => [key, of(key)]);
  return Object.fromEntries(entries.filter((entry): entry is [string, T] => entry[1] !== undefined));
}

/** Keys of no option of Docker's: `init` and `start` have flags for them. */
const OWN: Readonly<Record<string, (value: string) => Partial<LiveOptions>>> = {
  compression: (value) => ({ compression: parseCompression(value) }),
  cache_size: (value) => ({ cacheSize: value === 'auto' ? 0 : parseCacheSize(value, 'cache_size') }),
};

/**
 * A change of settings, from `KEY=VALUE` with or without `dm.` before it.
 * @throws ThinError unknown-option; invalid-argument (a value that cannot be, an option that is fixed while
 *   the pool serves)
 */
export function parseLiveSettings(texts: readonly string[]): Partial<LiveOptions> {
  let own: Partial<LiveOptions> = {};
  const full: string[] = [];
  for (const text of texts) {
    const at = text.indexOf('=');
    const key = bareKey(at === -1 ? text : text.slice(0, at));
    const parse = at !== -1 && Object.hasOwn(OWN, key) ? OWN[key] : undefined;
    if (parse === undefined) {
      requireSetting(text, key, at);
      full.push(`dm.${key}${text.slice(at)}`);
    } else own = { ...own, ...parse(text.slice(at + 1).trim()) };
  }
  const { pool } = parseStorageOptions(full);
  return { ...pool, ...own };
}

/** @throws ThinError unknown-option, invalid-argument */
function requireSetting(text: string, key: string, at: number): void {
  if (at === -1)
    throw new ThinError(
      'invalid-argument',
      `${JSON.stringify(text)} changes nothing; write KEY=VALUE, such as min_free_space=5%`,
    );
  requireLiveKey(key);
}

/** As the table has it, however it is given. */
function bareKey(given: string): string {
  return given.trim().replace(/^dm\./i, '').replaceAll('-', '_').toLowerCase();
}

function parseCompression(value: string): Compression {
  const found = COMPRESSIONS.find((each) => each === value);
  if (found !== undefined) return found;
  throw new ThinError(
    'invalid-argument',
    `compression=${value}: one of ${COMPRESSIONS.join(', ')} is needed`,
  );
}

/** The key without `dm.`. @throws ThinError invalid-argument */
export function requireLiveKey(given: string): string {
  const key = bareKey(given);
  if (Object.hasOwn(SETTINGS, key)) return key;
  const { text, details } = suggestion(key, LIVE_KEYS);
  throw new ThinError(
    'invalid-argument',
    text === ''
      ? `${given} is not a setting that changes while the pool serves; those are ${LIVE_KEYS.join(', ')}`
      : `there is no setting ${given}${text}`,
    { details },
  );
}

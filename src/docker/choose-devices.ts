import { suggestion } from '../config/nearest.js';
import { parseSize } from '../config/sizes.js';
import { ThinError } from '../errors/thin-error.js';
import { DEVICE_KINDS, FILESYSTEMS } from '../format/device-record.js';
import type { ListedDevice } from './listed-device.js';
import { DEVICE_STATES, deviceState, shownFilesystem } from './listings.js';

type Value = string | number;

/**
 * What devices are sorted and filtered by, under the names that `--json` has, and the titles of the columns
 * that `ls` prints.
 */
const KEYS: Readonly<Record<string, (device: ListedDevice) => Value>> = {
  name: ({ name }) => name,
  id: ({ id }) => id,
  kind: ({ kind }) => kind,
  origin: ({ originName }) => originName ?? '',
  size: ({ size }) => size,
  quota: ({ quota }) => quota ?? 0,
  limit: ({ limit }) => limit ?? 0,
  mapped: ({ mapped }) => mapped,
  exclusive: ({ exclusive }) => exclusive,
  shared: ({ shared }) => shared,
  created: ({ createdAt }) => createdAt,
  filesystem: (device) => shownFilesystem(device),
  fstype: (device) => shownFilesystem(device),
  state: (device) => deviceState(device),
  mountpoint: ({ mountPoint }) => mountPoint ?? '',
  label: ({ label }) => label,
};
export const CHOICE_KEYS = Object.keys(KEYS);

/** What a text may be, where that is a closed list. */
const TEXTS: Readonly<Record<string, readonly string[]>> = {
  kind: DEVICE_KINDS,
  state: DEVICE_STATES,
  filesystem: [...FILESYSTEMS, '-'],
  fstype: [...FILESYSTEMS, '-'],
};

const OPERATORS: Readonly<Record<string, (order: number) => boolean>> = {
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
};

/** `KEY`, or `-KEY` for the largest first. @throws ThinError invalid-argument */
export function sorted<T extends ListedDevice>(devices: readonly T[], by: string): readonly T[] {
  const down = by.startsWith('-');
  const value = keyOf(down ? by.slice(1) : by, '--sort');
  return [...devices].sort((a, b) => (down ? -1 : 1) * compare(value(a), value(b)));
}

/**
 * Those for which each of `conditions` holds: `KEY=VALUE`, `!=`, `>`, `>=`, `<`, `<=`; sizes with their
 * units, `*` in a text for anything.
 * @throws ThinError invalid-argument
 */
export function filtered<T extends ListedDevice>(
  devices: readonly T[],
  conditions: readonly string[],
): readonly T[] {
  const tests = conditions.map(parseCondition);
  return devices.filter((device) => tests.every((test) => test(device)));
}

function parseCondition(text: string): (device: ListedDevice) => boolean {
  const [, key, operator, wanted] = /^([a-zA-Z-]+)(=|!=|>=|<=|>|<)(.*)$/.exec(text) ?? [];
  if (key === undefined || operator === undefined || wanted === undefined)
    throw new ThinError(
      'invalid-argument',
      `--filter ${text}: write it as KEY=VALUE, such as state=mounted or mapped>1G`,
    );
  if (isLabel(key) && (operator === '=' || operator === '!=')) return labelTest(wanted, operator === '=');
  const value = keyOf(key, '--filter');
  const compares = OPERATORS[operator];
  if (compares !== undefined)
    return (device) => {
      const has = value(device);
      return compares(compare(has, typeof has === 'number' ? numberOf(wanted, key) : wanted));
    };
  const pattern = patternOf(wanted);
  requirePossible(key, wanted, pattern);
  return (device) => {
    const has = value(device);
    const equals = typeof has === 'number' ? has === numberOf(wanted, key) : pattern.test(has);
    return equals === (operator === '=');
  };
}

/** An empty list would hide the slip of a word that no device can have. @throws ThinError invalid-argument */
function requirePossible(key: string, wanted: string, pattern: RegExp): void {
  const known = TEXTS[key.toLowerCase()];
  if (known === undefined || known.some((each) => pattern.test(each))) return;
  const { text, details } = suggestion(wanted, known);
  throw new ThinError(
    'invalid-argument',
    `--filter: there is no ${key} ${wanted}${text || `; choose from ${known.join(', ')}`}`,
    { details },
  );
}

/** `label=KEY` and `label=KEY=VALUE`, as Docker's; and the text that a program keeps, where it has one. */
function isLabel(key: string): boolean {
  return key.toLowerCase() === 'label';
}

function labelTest(wanted: string, isToBe: boolean): (device: ListedDevice) => boolean {
  const [, key = wanted, value] = /^([^=]*)=(.*)$/s.exec(wanted) ?? [];
  const keys = patternOf(key);
  const values = value === undefined ? undefined : patternOf(value);
  const program = patternOf(wanted);
  return ({ label, labels = {} }) =>
    isToBe ===
    (Object.entries(labels).some(
      ([key, value]) => keys.test(key) && (values === undefined || values.test(value)),
    ) ||
      (label !== '' && program.test(label)));
}

function patternOf(wanted: string): RegExp {
  return new RegExp(`^${wanted.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`, 's');
}

function numberOf(text: string, key: string): number {
  const time = key.toLowerCase() === 'created' ? Date.parse(text) : NaN;
  return Number.isNaN(time) ? parseSize(text, `--filter ${key}`) : time;
}

function keyOf(given: string, option: string): (device: ListedDevice) => Value {
  const key = given.toLowerCase();
  if (Object.hasOwn(KEYS, key)) return KEYS[key]!;
  const { text, details } = suggestion(key, CHOICE_KEYS);
  throw new ThinError(
    'invalid-argument',
    `${option}: there is no ${given}${text || `; choose from ${CHOICE_KEYS.join(', ')}`}`,
    { details },
  );
}

function compare(a: Value, b: Value): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a) < String(b) ? -1 : Number(String(a) > String(b));
}

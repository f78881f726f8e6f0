import { suggestion } from '../config/nearest.js';
import { ThinError } from '../errors/thin-error.js';
import type { DeviceInfo, PoolInfo } from '../pool/info.js';
import type { ListedDevice } from './listed-device.js';
import { deviceState, shownFilesystem } from './listings.js';

/** A device of a pool, or of the kernel's metadata. */
type Device = Pick<DeviceInfo, 'mapped' | 'exclusive' | 'shared' | 'highestMapped'> & {
  readonly id: number;
  readonly name: string;
  readonly transactionId: number | bigint;
  readonly creationTime: number;
  readonly snapTime: number;
};
type Field = (device: Device, blockSize: number) => string;

const SECTOR = 512;
const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

const blocks =
  (bytes: (device: Device) => number): Field =>
  (device, blockSize) =>
    String(Math.ceil(bytes(device) / blockSize));
const sectors =
  (bytes: (device: Device) => number): Field =>
  (device) =>
    String(bytes(device) / SECTOR);
const inBytes =
  (bytes: (device: Device) => number): Field =>
  (device) =>
    String(bytes(device));
const pretty =
  (bytes: (device: Device) => number): Field =>
  (device) =>
    prettySize(bytes(device));

const mapped = (device: Device): number => device.mapped;
const exclusive = (device: Device): number => device.exclusive;
const shared = (device: Device): number => device.shared;
const highest = (device: Device): number => device.highestMapped;

/**
 * The fields of thin_ls 0.9.0, HIGHEST_BLOCK of later ones (the last mapped block; `-` where none is), the
 * name, and what else `ls` knows.
 */
const FIELDS: Readonly<Record<string, Field>> = {
  DEV: ({ id }) => String(id),
  NAME: ({ name }) => name,
  MAPPED_BLOCKS: blocks(mapped),
  EXCLUSIVE_BLOCKS: blocks(exclusive),
  SHARED_BLOCKS: blocks(shared),
  HIGHEST_BLOCK: (device, blockSize) =>
    device.highestMapped === 0 ? '-' : String(Math.ceil(device.highestMapped / blockSize) - 1),
  MAPPED_SECTORS: sectors(mapped),
  EXCLUSIVE_SECTORS: sectors(exclusive),
  SHARED_SECTORS: sectors(shared),
  HIGHEST_SECTORS: sectors(highest),
  MAPPED_BYTES: inBytes(mapped),
  EXCLUSIVE_BYTES: inBytes(exclusive),
  SHARED_BYTES: inBytes(shared),
  HIGHEST_BYTES: inBytes(highest),
  MAPPED: pretty(mapped),
  EXCLUSIVE: pretty(exclusive),
  SHARED: pretty(shared),
  HIGHEST: pretty(highest),
  TRANSACTION: ({ transactionId }) => String(transactionId),
  CREATE_TIME: ({ creationTime }) => String(creationTime),
  SNAP_TIME: ({ snapTime }) => String(snapTime),
};

/** What `ls` knows besides. */
const OWN_FIELDS: Readonly<Record<string, (device: ListedDevice) => string>> = {
  ID: ({ id }) => String(id),
  KIND: ({ kind }) => kind,
  ORIGIN: ({ originName }) => originName ?? '-',
  FSTYPE: (device) => shownFilesystem(device),
  SIZE: ({ size }) => prettySize(size),
  SIZE_BYTES: ({ size }) => String(size),
  QUOTA_BYTES: ({ quota }) => String(quota ?? 0),
  LIMIT_BYTES: ({ limit }) => String(limit ?? 0),
  CREATED: ({ createdAt }) => new Date(createdAt).toISOString(),
  STATE: (device) => deviceState(device),
  MOUNTPOINT: ({ mountPoint }) => mountPoint ?? '-',
  LOOP: ({ loop }) => loop ?? '-',
  PATH: ({ path }) => path ?? '-',
  CONTENT: ({ content }) => content ?? 'rootfs',
  AUTOMOUNT: ({ automount, name }) => (automount === undefined ? '-' : automount.target || name),
  LABELS: ({ labels = {} }) =>
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(',') || '-',
};
const THIN_FIELDS = Object.keys(FIELDS);
export const FIELD_NAMES = [...THIN_FIELDS, ...Object.keys(OWN_FIELDS)];

/** @param name of `parseFields`; those of `ls` itself of what `ls` lists alone */
function fieldOf(device: Device | ListedDevice, name: string, blockSize: number): string {
  return FIELDS[name]?.(device, blockSize) ?? OWN_FIELDS[name]!(device as ListedDevice);
}

/** What the table of `ls` has. */
const LISTED = ['NAME', 'ID', 'KIND', 'ORIGIN', 'FSTYPE', 'SIZE', 'MAPPED', 'CREATED', 'STATE', 'MOUNTPOINT'];
const OTHER_NAMES: Readonly<Record<string, string>> = { FILESYSTEM: 'FSTYPE', LABEL: 'LABELS' };

/**
 * In either case. `all`: every field; with a plus before them, those of the table of `ls` and these, as lvs
 * takes them. @throws ThinError invalid-argument
 */
export function parseFields(text: string, known: readonly string[] = THIN_FIELDS): readonly string[] {
  const adds = text.startsWith('+');
  const names = text
    .slice(adds ? 1 : 0)
    .split(',')
    .map((name) => name.trim())
    .flatMap((name) => (name.toUpperCase() === 'ALL' ? known : fieldName(name, known)));
  return adds ? [...new Set([...LISTED.filter((name) => known.includes(name)), ...names])] : names;
}

/** @throws ThinError invalid-argument */
function fieldName(given: string, known: readonly string[]): string {
  const upper = given.toUpperCase();
  const name = OTHER_NAMES[upper] ?? upper;
  if (known.includes(name)) return name;
  const { text, details } = suggestion(
    given,
    known.map((each) => each.toLowerCase()),
  );
  throw new ThinError(
    'invalid-argument',
    `there is no field ${JSON.stringify(given)}${text || `; choose from ${known.join(', ')}`}`,
    { details },
  );
}

/** As thin_ls prints it: every column to the right, a space behind each, also behind the last. */
export function fieldTable(
  devices: readonly Device[],
  fields: readonly string[],
  { blockSize, headers }: Pick<PoolInfo, 'blockSize'> & { headers: boolean },
): string {
  const rows = devices.map((device) => fields.map((name) => fieldOf(device, name, blockSize)));
  const lines = headers ? [fields, ...rows] : rows;
  // Not the arguments of one call: a pool may have more devices than a call takes.
  const widths = fields.map((_, at) => lines.reduce((width, cells) => Math.max(width, cells[at]!.length), 0));
  return lines.map((cells) => cells.map((cell, at) => `${cell.padStart(widths[at]!)} `).join('')).join('\n');
}

type FieldValue = string | number | Readonly<Record<string, string>> | null;

/** Fields by name, for scripts: sizes in bytes, numbers as numbers, null for what is not there. */
export function fieldJson(
  devices: readonly Device[],
  fields: readonly string[],
  { blockSize }: Pick<PoolInfo, 'blockSize'>,
): readonly Readonly<Record<string, FieldValue>>[] {
  return devices.map((device) =>
    Object.fromEntries(fields.map((name) => [name, valueOf(device, name, blockSize)])),
  );
}

/** Of those that the table shows in units. */
const SIZES: Readonly<Record<string, (device: Device) => number>> = {
  MAPPED: mapped,
  EXCLUSIVE: exclusive,
  SHARED: shared,
  HIGHEST: highest,
  SIZE: (device) => (device as ListedDevice).size,
};
const WORDS = ['NAME', 'KIND', 'ORIGIN', 'FSTYPE', 'CREATED', 'STATE', 'MOUNTPOINT', 'LOOP', 'PATH'];

function valueOf(device: Device, name: string, blockSize: number): FieldValue {
  const size = SIZES[name];
  if (size !== undefined) return size(device);
  if (name === 'LABELS') return (device as ListedDevice).labels ?? {};
  const text = fieldOf(device, name, blockSize);
  if (text === '-') return null;
  if (WORDS.includes(name) || name === 'CONTENT' || name === 'AUTOMOUNT') return text;
  // Of the kernel's metadata: a transaction id has 64 bits.
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : text;
}

/**
 * A larger unit where the number would be above 8192, rounded at each step, and none behind a zero (thin_ls,
 * `format_disk_unit`).
 */
function prettySize(bytes: number): string {
  if (bytes === 0) return '0';
  let amount = bytes;
  let unit = 0;
  while (amount > 8192 && unit < BINARY.length - 1) {
    amount = Math.round(amount / 1024);
    unit++;
  }
  return `${amount}${BINARY[unit]!}`;
}

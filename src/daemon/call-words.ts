import type { OperationName, TextOperationName } from '../api/operations.js';
import { formatBinarySize } from '../config/sizes.js';
import { isHidden } from '../format/device-name.js';
import { isPassing } from '../format/passing-name.js';

const NAMED = 3;

type Input = Readonly<Record<string, unknown>>;

/** What happened to a user's devices or pool, in words; what is missing here is internal. */
const WORDS: Readonly<Partial<Record<OperationName | TextOperationName, (input: Input) => string>>> = {
  'pool.set': () => 'settings were changed',
  'pool.extend': () => 'the pool was extended',
  'pool.check': () => 'the metadata was checked',
  'pool.scrub': () => 'everything was read and verified',
  'pool.setTransactionId': ({ to }) => `the transaction id was set to ${text(to)}`,
  'metadata.reserve': () => 'a metadata snapshot was reserved',
  'metadata.release': ({ snapshot }) => `the metadata snapshot ${text(snapshot)} was released`,
  'device.create': ({ name, origin, kind }) =>
    `${text(name)} was made, ${kind === 'image' ? 'an' : 'a'} ${text(kind)} of ${text(origin ?? 'base')}`,
  'device.clone': ({ origin, names }) =>
    `${Array.isArray(names) ? listed(names.map(text)) : ''}: made, as ${text(origin)} is`,
  'device.createThin': ({ name, size }) => `${text(name)} was made, empty, of ${bytes(size)}`,
  'device.seal': ({ name }) => `${text(name)} is an image now`,
  'device.finish': ({ name }) => `${text(name)} is whole now`,
  'device.rename': ({ name, to }) => `${text(name)} is called ${text(to)} now`,
  'device.hydrate': ({ name }) => `the rest of ${text(name)} is fetched`,
  'device.quota': ({ name, quota }) =>
    quota === 0 ? `${text(name)} has no quota any more` : `${text(name)} has a quota of ${bytes(quota)}`,
  'device.limit': ({ name, limit }) =>
    limit === 0 ? `${text(name)} has no limit any more` : `${text(name)} has a limit of ${bytes(limit)}`,
  'device.automount': ({ name, automount }) =>
    `${text(name)} is ${automount === null ? 'no more' : 'from now on'} mounted at each start`,
  'device.labels': ({ name }) => `${text(name)} has other labels`,
  'device.rollback': ({ name, to }) => `${text(name)} was rolled back to ${text(to)}`,
  'device.grow': ({ name, size }) => `${text(name)} has ${bytes(size)} now`,
  'device.remove': ({ name }) => `${text(name)} was removed`,
  activate: ({ name }) => `${text(name)} is active`,
  deactivate: ({ name }) => `${text(name)} is not active any more`,
  mount: ({ name, target, readOnly }) =>
    `${text(name)} is mounted${target === undefined ? '' : ` on ${text(target)}`}${readOnly === true ? ', read-only' : ''}`,
  umount: ({ name }) => `${text(name)} is unmounted`,
  trim: ({ name }) => `${text(name)} gave back the space of deleted files`,
  'ui.open': () => 'the page is served',
  doctor: () => 'the doctor looked at the pool',
  stop: () => 'the daemon was told to stop',
  restart: () => 'the daemon was told to make room for another',
};

/**
 * What a call that succeeded did to something of the user's. Undefined: it only looked, or it was a step of
 * some command that makes its own devices, or of a device that is not whole.
 */
export function callWords(operation: OperationName | TextOperationName, input: unknown): string | undefined {
  const fields: Input = typeof input === 'object' && input !== null ? (input as Input) : {};
  const { name, to, maker, fix } = fields;
  if (operation === 'doctor' && fix !== true) return undefined;
  const isStep = maker !== undefined && operation !== 'device.seal' && operation !== 'device.finish';
  const isOwn = [name, operation === 'device.rename' ? to : undefined].some(
    (each) => typeof each === 'string' && (isPassing(each) || isHidden(each)),
  );
  return isStep || isOwn ? undefined : WORDS[operation]?.(fields);
}

/** Not all of hundreds, which one call may make. */
function listed(names: readonly string[]): string {
  const left = names.length - NAMED;
  return left > 1 ? `${names.slice(0, NAMED).join(', ')} and ${left} others` : names.join(', ');
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? `${value}` : '';
}

function bytes(value: unknown): string {
  return typeof value === 'number' ? formatBinarySize(value) : '';
}

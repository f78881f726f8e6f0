import { ThinError } from '../errors/thin-error.js';
import { chunkId } from './ids.js';
import { describeKey, isPoolKey, isSingle, kindOf, unpackKey } from './keys.js';
import { isSealOf, SEAL_BYTES, sealedAs, unseal, unsealChunk } from './seal.js';

/**
 * `foreign`: its seal is not of this key, or there is none. `damaged`: it is of this key, and the value not
 * as it was written.
 */
export type SealState = 'well' | 'damaged' | 'foreign';

/** What the seal of a stored value says of its key. */
export function sealState(key: Uint8Array, value: Uint8Array): SealState {
  const kind = kindOf(key);
  if (kind === undefined || !isPoolKey(key) || value.length < SEAL_BYTES) return 'foreign';
  const id = isSingle(kind) ? 0 : (unpackKey(kind, key) ?? 0);
  const at = kind === 'chunk' ? value.length - SEAL_BYTES : 0;
  if (!sealedAs(value, at, kind, id)) return 'foreign';
  try {
    if (kind === 'chunk') unsealChunk(value, chunkId(id), describeKey(key));
    else unseal(kind, id, value, describeKey(key));
    return 'well';
  } catch (error) {
    if (error instanceof ThinError && error.code === 'damaged') return 'damaged';
    throw error;
  }
}

/**
 * Whether this is a chunk whose seal is not that of any other chunk either, so that it says nothing against
 * the key.
 */
export function hasLostSeal(key: Uint8Array, value: Uint8Array): boolean {
  if (kindOf(key) !== 'chunk' || value.length < SEAL_BYTES) return false;
  return !isSealOf(value, value.length - SEAL_BYTES, 'chunk');
}

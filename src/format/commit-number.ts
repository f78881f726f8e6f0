import { ByteReader, ByteWriter } from './byte-cursor.js';
import { seal, SEAL_BYTES, unseal } from './seal.js';

/** Bytes of a slot of the commit mark: what a disk writes whole or not at all. */
export const MARK_SLOT_BYTES = 512;
/** From one slot to the next, so that no page of memory and no sector has both. */
export const MARK_SLOT_STEP = 4096;
/** Bytes of the whole mark: two slots, which are written in turn. */
export const MARK_BYTES = 2 * MARK_SLOT_STEP;

/**
 * commit := store:text number:u64                   in the store, under its own key
 * slot   := sealed( commit zeroes )                 512 bytes with its seal, twice in the commit mark
 */
export interface CommitNumber {
  /** Random, of the store that counts: a mark beside another store says nothing. */
  readonly store: string;
  /** Synced batches that the store has taken since it counts, 1 for the first. */
  readonly number: number;
}

function bodyOf({ store, number }: CommitNumber): Uint8Array {
  return new ByteWriter().text(store).u64(number).finish();
}

/** The value in the store. */
export function packCommitNumber(commit: CommitNumber): Uint8Array {
  return seal('commit', 0, bodyOf(commit));
}

/** Reads either form. @throws ThinError damaged, wrong-version, naming `path` */
export function unpackCommitNumber(bytes: Uint8Array, path: string): CommitNumber {
  const from = new ByteReader(unseal('commit', 0, bytes, path), path);
  return { store: from.text(), number: from.u64() };
}

export function packMarkSlot(commit: CommitNumber): Uint8Array {
  const body = new Uint8Array(MARK_SLOT_BYTES - SEAL_BYTES);
  body.set(bodyOf(commit));
  return seal('commit', 0, body);
}

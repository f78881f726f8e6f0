import { ByteReader, ByteWriter } from './byte-cursor.js';
import { seal, unseal } from './seal.js';

/** state := sealed( retired:u32 oldest:u32 newest:u32 ) */
export interface JournalState {
  /** Records up to this generation are of no use any more. */
  readonly retired: number;
  /** Of the processes that wrote to the journal, the first and the last all of whose files are there and count. */
  readonly oldest: number;
  readonly newest: number;
}

export function packJournalState({ retired, oldest, newest }: JournalState): Uint8Array {
  return seal('journal', 0, new ByteWriter().u32(retired).u32(oldest).u32(newest).finish());
}

/** @throws ThinError damaged, wrong-version, naming `path` */
export function unpackJournalState(bytes: Uint8Array, path: string): JournalState {
  const from = new ByteReader(unseal('journal', 0, bytes, path), path);
  const state = { retired: from.u32(), oldest: from.u32(), newest: from.u32() };
  from.finish();
  return state;
}

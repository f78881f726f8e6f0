import * as z from 'zod';
import { isDigest, type Digest } from './digest.js';
import type { BlobRef } from './remote-store.js';

const ref = z.strictObject({
  kind: z.enum(['pack', 'index', 'manifest']),
  digest: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value)),
  size: z.number().int().min(0),
});

/** What a push or a pull relies on. A collection keeps it as long as the note exists and is not too old. */
const useNote = z.strictObject({
  version: z.literal(1),
  /** The device, and the process that is at it: `POOL-UUID/DEVICE` and where it runs. */
  source: z.string(),
  maker: z.string(),
  /** What was there. */
  refs: z.array(ref),
  /** What it has put itself. */
  put: z.array(ref),
  /** Of a pull that does not know yet what it needs: nothing is removed while the note is there. */
  opening: z.literal(true).optional(),
});
export type UseNote = z.infer<typeof useNote>;

/**
 * Unused blobs, or blobs about to be removed. `since`: when it was marked, by the store's clock; null: when
 * the note was written. Unix time, milliseconds.
 */
const listNote = z.strictObject({
  version: z.literal(1),
  since: z.number().int().min(0).nullable(),
  refs: z.array(ref),
});
export type ListNote = z.infer<typeof listNote>;

/**
 * Begins the id of a note of a pull that is opening; the rest is the id of the note that follows it. Lists
 * are in order, so that a reader whose list lacks it finds the other in the same list.
 */
export const OPENING_PREFIX = '-';
/**
 * Milliseconds, by the store's clock, for which such a note is believed: as long, one that was killed keeps
 * all of the store. A pull that takes half of it makes sure in another way, so that the clocks of a store's
 * machines may differ by the other half.
 */
export const OPENING_LIFE = 240_000;

export function packUseNote({ source, maker, refs, put }: Omit<UseNote, 'version' | 'opening'>): Uint8Array {
  return Buffer.from(JSON.stringify({ version: 1, source, maker, refs, put } satisfies UseNote));
}

export function packOpeningNote(source: string, maker: string): Uint8Array {
  return Buffer.from(
    JSON.stringify({ version: 1, source, maker, refs: [], put: [], opening: true } satisfies UseNote),
  );
}

export function packListNote(refs: readonly BlobRef[], since: number | null = null): Uint8Array {
  const note: ListNote = { version: 1, since, refs: [...refs] };
  return Buffer.from(JSON.stringify(note));
}

/** Undefined: it is none that this program can read. */
export function unpackUseNote(bytes: Uint8Array): UseNote | undefined {
  return parsed(useNote, bytes);
}

export function unpackListNote(bytes: Uint8Array): ListNote | undefined {
  return parsed(listNote, bytes);
}

function parsed<T>(schema: z.ZodType<T>, bytes: Uint8Array): T | undefined {
  try {
    return schema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch {
    return undefined;
  }
}

/** One name for a blob of any kind. */
export function refKey({ kind, digest }: Pick<BlobRef, 'kind' | 'digest'>): string {
  return `${kind}/${digest}`;
}

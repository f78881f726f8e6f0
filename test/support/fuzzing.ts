import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ThinError, type ThinErrorCode } from '../../src/errors/thin-error.js';

/** Inputs for each decoder; a long run sets the variable to what it has time for (docs/reliability.md). */
export const FUZZ_RUNS = Number(process.env['THINFUSE_FUZZ_RUNS'] ?? 150);
/** Of what takes a pool or a socket each. */
export const FUZZ_SCENES = Math.max(1, Math.ceil(FUZZ_RUNS / 25));

/** Bytes at random, and good ones with some of them changed, left out, doubled or put elsewhere. */
export function spoilt(good: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const change = fc.record({
    how: fc.constantFrom('set', 'flip', 'cut', 'drop', 'insert', 'repeat'),
    at: fc.nat(),
    length: fc.integer({ min: 1, max: 16 }),
    byte: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)),
  });
  const hurt = fc
    .tuple(good, fc.array(change, { minLength: 1, maxLength: 6 }))
    .map(([bytes, changes]) => changes.reduce(changed, bytes));
  return fc.oneof(
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 700 }) },
    { weight: 4, arbitrary: hurt },
  );
}

function changed(
  bytes: Uint8Array,
  { how, at, length, byte }: { how: string; at: number; length: number; byte: number },
): Uint8Array {
  const where = bytes.length === 0 ? 0 : at % bytes.length;
  const [before, behind] = [bytes.subarray(0, where), bytes.subarray(where)];
  switch (how) {
    case 'cut':
      return before;
    case 'drop':
      return Buffer.concat([before, behind.subarray(length)]);
    case 'insert':
      return Buffer.concat([before, new Uint8Array(length).fill(byte), behind]);
    case 'repeat':
      return Buffer.concat([before, behind.subarray(0, length), behind]);
    default: {
      const copy = new Uint8Array(bytes);
      if (where < copy.length) copy[where] = how === 'flip' ? copy[where]! ^ (1 << (byte % 8)) : byte;
      return copy;
    }
  }
}

/** As `spoilt`, of text. */
export function spoiltText(good: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    spoilt(good.map((text) => Buffer.from(text))).map((bytes) => Buffer.from(bytes).toString()),
  );
}

/** Nothing but these failures may come out; undefined where there was one. */
export function onlyFails<T>(codes: readonly ThinErrorCode[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    return allowed(codes, error);
  }
}

export async function onlyRejects<T>(
  codes: readonly ThinErrorCode[],
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    return allowed(codes, error);
  }
}

function allowed(codes: readonly ThinErrorCode[], error: unknown): undefined {
  if (!(error instanceof ThinError)) throw error;
  assert.ok(codes.includes(error.code), `${error.code}: ${error.message}`);
  return undefined;
}

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';

export const HOWS = ['flip', 'cut', 'zero', 'swap-pages', 'swap-files', 'delete'] as const;
/** Which byte, bit or page is left to two numbers. */
export const injuries = fc.record({ how: fc.constantFrom(...HOWS), at: fc.nat(), length: fc.nat() });

/** Damages a file. @param other where a file is to change places with it */
export function hurt(
  place: string,
  other: string,
  { how, at, length }: { how: (typeof HOWS)[number]; at: number; length: number },
): void {
  const bytes = readFileSync(place);
  const where = at % bytes.length;
  switch (how) {
    case 'flip':
      bytes[where]! ^= 1 << (length % 8);
      break;
    case 'cut':
      writeFileSync(place, bytes.subarray(0, where));
      return;
    case 'zero':
      bytes.fill(0, where, Math.min(bytes.length, where + 1 + (length % 8192)));
      break;
    case 'swap-pages': {
      const pages = Math.floor(bytes.length / 4096);
      if (pages < 2) return;
      const [a, b] = [4096 * (at % pages), 4096 * (length % pages)];
      const page = Buffer.from(bytes.subarray(a, a + 4096));
      bytes.copyWithin(a, b, b + 4096);
      page.copy(bytes, b);
      break;
    }
    case 'swap-files':
      writeFileSync(place, readFileSync(other));
      writeFileSync(other, bytes);
      return;
    case 'delete':
      rmSync(place);
      return;
  }
  writeFileSync(place, bytes);
}

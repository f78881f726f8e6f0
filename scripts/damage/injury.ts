import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Random } from './random.js';

/** Files of a pool, by what they are; one of those that match is chosen. Paths are below the root. */
export const PLACES = {
  table: /^devicemapper\/\d+\.ldb$/,
  log: /^devicemapper\/\d+\.log$/,
  manifest: /^devicemapper\/MANIFEST-\d+$/,
  current: /^devicemapper\/CURRENT$/,
} as const satisfies Record<string, RegExp>;
export type Place = keyof typeof PLACES;

export const HOWS = ['flip', 'cut', 'zero', 'swap', 'delete'] as const;
export type How = (typeof HOWS)[number];

export interface Case {
  readonly place: Place;
  readonly how: How;
  readonly seed: number;
}

export function casesOf(place: Place, count: number, seed: number): readonly Case[] {
  return Array.from({ length: count }, (_, i) => ({ place, how: HOWS[i % HOWS.length]!, seed: seed + i }));
}

const PAGE = 4096;

/** Damages a file of the pool in `root`. @returns what was done, or undefined where nothing has changed */
export async function injure(
  root: string,
  place: Place,
  how: How,
  random: Random,
): Promise<string | undefined> {
  const names = (await readdir(root, { recursive: true })).filter((name) => PLACES[place].test(name)).sort();
  // The newest log: LevelDB has no more use for those before it.
  const name = place === 'log' ? names.at(-1)! : names[random.below(names.length)]!;
  const file = path.join(root, name);
  const bytes = await readFile(file);
  const before = Buffer.from(bytes);
  // Of a file of one page, parts.
  const page = Math.min(PAGE, Math.ceil(bytes.length / 4));
  const pages = Math.ceil(bytes.length / page);
  if (how === 'delete') {
    await rm(file);
    return `${name} deleted`;
  }
  if (how === 'cut') {
    const length = random.below(bytes.length);
    await writeFile(file, bytes.subarray(0, length));
    return `${name} cut at ${length} of ${bytes.length}`;
  }
  let what: string;
  if (how === 'flip') {
    const bit = random.below(bytes.length * 8);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    what = `bit ${bit & 7} of byte ${bit >> 3} flipped`;
  } else if (how === 'zero') {
    const at = random.below(pages) * page;
    bytes.fill(0, at, Math.min(at + page, bytes.length));
    what = `page at ${at} zeroed`;
  } else {
    const [one, other] = [random.below(pages) * page, random.below(pages) * page];
    const length = Math.min(page, bytes.length - Math.max(one, other));
    before.copy(bytes, one, other, other + length);
    before.copy(bytes, other, one, one + length);
    what = `pages at ${one} and ${other} swapped`;
  }
  if (bytes.equals(before)) return undefined;
  await writeFile(file, bytes);
  return `${name} of ${bytes.length} bytes: ${what}`;
}

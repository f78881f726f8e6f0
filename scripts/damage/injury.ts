import { open, readdir, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { FIRST_LABEL_AT, LABEL_BYTES, labelOffset, MARGIN } from '../../src/format/data-label.js';
import type { PoolKind } from '../../src/pool/info.js';
import type { Random } from './random.js';
import { DATA_IN_USE } from './subject.js';

interface Range {
  readonly from: number;
  readonly to: number;
}

interface PlaceOfDamage {
  /** One of the files that match is chosen, or the newest. Paths are below the root. */
  readonly files: RegExp;
  readonly isNewest?: true;
  /** Of `direct` pools only. */
  readonly isDirect?: true;
  /** Where it is damaged, one of these by chance, or all. Default: anywhere. */
  readonly within?: (size: number) => readonly Range[];
  readonly isEach?: true;
}

export const PLACES = {
  table: { files: /^devicemapper\/\d+\.ldb$/ },
  // LevelDB has no more use for those before it.
  log: { files: /^devicemapper\/\d+\.log$/, isNewest: true },
  manifest: { files: /^devicemapper\/MANIFEST-\d+$/ },
  current: { files: /^devicemapper\/CURRENT$/ },
  mark: { files: /^devicemapper\/commit-mark$/ },
  'pool-log': { files: /^devicemapper\/pool-log$/ },
  'log-mark': { files: /^devicemapper\/log-mark$/ },
  label: {
    files: /^data$/,
    isDirect: true,
    within: (size) => [
      { from: 0, to: FIRST_LABEL_AT + LABEL_BYTES },
      { from: labelOffset(size), to: labelOffset(size) + LABEL_BYTES },
    ],
  },
  labels: {
    files: /^data$/,
    isDirect: true,
    isEach: true,
    within: (size) => [
      { from: FIRST_LABEL_AT, to: FIRST_LABEL_AT + LABEL_BYTES },
      { from: labelOffset(size), to: labelOffset(size) + LABEL_BYTES },
    ],
  },
  data: {
    files: /^data$/,
    isDirect: true,
    within: (size) => [
      { from: MARGIN, to: Math.min(size - MARGIN, DATA_IN_USE) },
      { from: MARGIN, to: Math.min(size - MARGIN, DATA_IN_USE) },
      { from: 0, to: size },
    ],
  },
} as const satisfies Record<string, PlaceOfDamage>;
export type Place = keyof typeof PLACES;

/** The files that a pool of the kind has. */
export function placesOf(kind: PoolKind): readonly Place[] {
  const places: readonly (readonly [string, PlaceOfDamage])[] = Object.entries(PLACES);
  return places
    .filter(([, { isDirect }]) => kind === 'direct' || isDirect !== true)
    .map(([place]) => place as Place);
}

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

export interface Injury {
  readonly what: string;
  /** The file, below the root. */
  readonly name: string;
  /** Bytes of it that are not what they were. */
  readonly ranges: readonly Range[];
}

const PAGE = 4096;

/** Damages a file of the pool in `root`. @returns what was done, or undefined where nothing has changed */
export async function injure(
  root: string,
  place: Place,
  how: How,
  random: Random,
): Promise<Injury | undefined> {
  const { files, isNewest, within, isEach }: PlaceOfDamage = PLACES[place];
  const names = (await readdir(root, { recursive: true })).filter((name) => files.test(name)).sort();
  const name = isNewest === true ? names.at(-1)! : names[random.below(names.length)]!;
  const file = path.join(root, name);
  const handle = await open(file, 'r+');
  try {
    const { size } = await handle.stat();
    const choice = within?.(size) ?? [{ from: 0, to: size }];
    const one = async (range: Range): Promise<Injury | undefined> => {
      if (how !== 'delete') return hurt(handle, { name, size, range }, how, random);
      // What is a part of a file goes, and not the file.
      if (range.from !== 0 || range.to !== size) return blank(handle, { name, range });
      await rm(file);
      return { what: `${name} deleted`, name, ranges: [range] };
    };
    if (isEach !== true) return await one(choice[random.below(choice.length)]!);
    const done: Injury[] = [];
    // A cut takes all that is behind it: what is before it is blank then.
    for (const range of how === 'cut' ? choice.slice(-1) : choice) {
      const injury = await one(range);
      if (injury !== undefined) done.push(injury);
    }
    if (how === 'cut')
      for (const range of choice.slice(0, -1)) done.push(await blank(handle, { name, range }));
    return done.length === 0 ? undefined : joined(name, done);
  } finally {
    await handle.close();
  }
}

async function blank(handle: FileHandle, { name, range }: { name: string; range: Range }): Promise<Injury> {
  await handle.write(new Uint8Array(range.to - range.from), 0, range.to - range.from, range.from);
  return { what: `${name} deleted from ${range.from} to ${range.to}`, name, ranges: [range] };
}

function joined(name: string, injuries: readonly Injury[]): Injury {
  return {
    what: injuries.map(({ what }) => what).join(', and '),
    name,
    ranges: injuries.flatMap(({ ranges }) => ranges),
  };
}

async function hurt(
  handle: FileHandle,
  { name, size, range }: { name: string; size: number; range: Range },
  how: Exclude<How, 'delete'>,
  random: Random,
): Promise<Injury | undefined> {
  const length = range.to - range.from;
  if (how === 'cut') {
    const at = range.from + random.below(length);
    await handle.truncate(at);
    return { what: `${name} cut at ${at} of ${size}`, name, ranges: [{ from: at, to: size }] };
  }
  if (how === 'flip') {
    const bit = random.below(length * 8);
    const at = range.from + (bit >> 3);
    const [byte] = await pieceOf(handle, at, 1);
    await handle.write(Uint8Array.of(byte! ^ (1 << (bit & 7))), 0, 1, at);
    const what = `${name} of ${size} bytes: bit ${bit & 7} of byte ${at} flipped`;
    return { what, name, ranges: [{ from: at, to: at + 1 }] };
  }
  // Of a file of one page, parts.
  const page = Math.min(PAGE, Math.ceil(length / 4));
  const pages = Math.ceil(length / page);
  const one = range.from + random.below(pages) * page;
  if (how === 'zero') {
    const before = await pieceOf(handle, one, Math.min(page, range.to - one));
    if (before.every((byte) => byte === 0)) return undefined;
    await handle.write(new Uint8Array(before.length), 0, before.length, one);
    return {
      what: `${name} of ${size} bytes: page at ${one} zeroed`,
      name,
      ranges: [{ from: one, to: one + before.length }],
    };
  }
  const other = range.from + random.below(pages) * page;
  const both = Math.min(page, range.to - Math.max(one, other));
  const [first, second] = [await pieceOf(handle, one, both), await pieceOf(handle, other, both)];
  if (first.equals(second)) return undefined;
  await handle.write(second, 0, both, one);
  await handle.write(first, 0, both, other);
  return {
    what: `${name} of ${size} bytes: pages at ${one} and ${other} swapped`,
    name,
    ranges: [
      { from: one, to: one + both },
      { from: other, to: other + both },
    ],
  };
}

async function pieceOf(handle: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await handle.read(bytes, 0, length, at);
  return bytes.subarray(0, bytesRead);
}

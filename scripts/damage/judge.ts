import { rm } from 'node:fs/promises';
import path from 'node:path';
import { rootLayout } from '../../src/config/root-layout.js';
import { acceptData } from '../../src/daemon/accept-data.js';
import { ChildProcessExec } from '../../src/host/exec.js';
import { repairOffline } from '../../src/daemon/offline-repair.js';
import { ThinError } from '../../src/errors/thin-error.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { MARGIN } from '../../src/format/data-label.js';
import { chunkBackingKey } from '../../src/format/keys.js';
import { unpackChunkBacking } from '../../src/format/chunk-backing.js';
import { chunkId } from '../../src/format/ids.js';
import { unseal } from '../../src/format/seal.js';
import { mappingRuns } from '../../src/metadata/mapping-runs.js';
import { openView, type MetadataView } from '../../src/metadata/metadata-view.js';
import type { KeyValue } from '../../src/store/key-value.js';
import { damagedFiles } from '../../src/store/level-check.js';
import { acceptLog, readLogState } from '../../src/store/pool-log.js';
import { openPoolStore } from '../../src/store/pool-store.js';
import { injure, type Case, type Injury, type Place } from './injury.js';
import { Random } from './random.js';
import {
  contentsOf,
  copyRoot,
  LOST,
  openSubject,
  STORES,
  SUBJECT_BLOCK,
  SUBJECT_NODES,
  PAGES,
  ZEROES,
  type Contents,
  type History,
  type SubjectKind,
} from './subject.js';

/**
 * `none`: nothing was changed. `refused`: the pool does not open, `damaged`. `found`: it opens, and its check
 * or scrub finds it. `harmless`: all is as it was acknowledged. `as-on-disk`: so is all but blocks of a
 * direct pool whose own bytes were damaged: chunks there carry no checksum. `silent`: something else is not,
 * and nobody said so.
 */
export type Finding = 'none' | 'refused' | 'found' | 'harmless' | 'as-on-disk' | 'silent';

/**
 * `all`: everything that was acknowledged. `rest`: all that is there is as it was, and it says what is lost.
 * `earlier`: the same, as of an earlier commit. `mixed`: as `earlier`, in a direct pool, whose data stays where
 * it is and is newer: some pages hold what they held at another time. `foreign`: as `mixed`, but some hold what
 * a commit that is lost gave to another page. `nothing`: it says that there is nothing to be rebuilt. `wrong`:
 * something is served as sound that never was.
 */
export type Repaired = 'all' | 'rest' | 'earlier' | 'mixed' | 'foreign' | 'nothing' | 'wrong';

export interface Verdict {
  readonly what: string;
  readonly found: Finding;
  readonly repaired: Repaired;
  /** What was said, or went wrong. */
  readonly note: string;
  /** Pages of all devices that are as they were acknowledged, after the repair, of so many. */
  readonly pages: readonly [number, number];
}

export interface Subject {
  /** Of the pool that is injured; only copies are. */
  readonly root: string;
  readonly kind: SubjectKind;
  readonly history: History;
}

/**
 * @param scratch a folder of the caller's, where nothing else is
 * @param known verdicts by what was done: damage that comes out alike is met alike, and looked at once
 */
export async function judge(
  { root, kind, history }: Subject,
  one: Case,
  scratch: string,
  known = new Map<string, Verdict>(),
): Promise<Verdict> {
  const [hurt, opened, repairedRoot] = ['hurt', 'opened', 'repaired'].map((name) =>
    path.join(scratch, name),
  ) as [string, string, string];
  try {
    copyRoot(root, hurt);
    const injury = await injure(hurt, one.place, one.how, new Random(one.seed));
    const last = history.at(-1)!;
    const pages = Object.values(last).reduce((sum, found) => sum + found.length, 0);
    if (injury === undefined)
      return { what: 'nothing', found: 'none', repaired: 'all', note: '', pages: [pages, pages] };
    const before = known.get(injury.what);
    if (before !== undefined) return before;
    copyRoot(hurt, opened);
    const { found, note } = await open(opened, kind, { last, injury });
    const expected = { history, injury, place: one.place };
    const { repaired, contents, note: said } = await repair(hurt, repairedRoot, kind, expected);
    const accepted = ['pool-log', 'log-mark'].includes(one.place)
      ? await accept(opened, kind, expected)
      : { repaired, contents, note: '' };
    const verdict: Verdict = {
      what: injury.what,
      found,
      repaired: repaired === 'wrong' ? repaired : accepted.repaired,
      note: `${note} | ${said} | ${accepted.note}`,
      pages: [samePages(accepted.contents, last), pages],
    };
    known.set(injury.what, verdict);
    return verdict;
  } finally {
    await rm(hurt, { recursive: true, force: true });
    await rm(opened, { recursive: true, force: true });
    await rm(repairedRoot, { recursive: true, force: true });
  }
}

async function open(
  root: string,
  kind: SubjectKind,
  { last, injury }: { last: Contents; injury: Injury },
): Promise<{ found: Finding; note: string }> {
  const folder = path.join(root, 'devicemapper');
  let store: KeyValue;
  let pool: ThinPool;
  let hurtBefore: ReadonlySet<string>;
  try {
    store = await openPoolStore(folder, STORES[kind]);
    // What the log's replay copies from a shared chunk is the block's own, where the copy lies elsewhere, too.
    hurtBefore = await hurtIn(await openView(store, { limits: SUBJECT_NODES }), store, injury);
    readHere(store, folder);
    try {
      pool = await openSubject(store, { data: dataOf(root, kind), folder });
    } catch (error) {
      await store.close();
      throw error;
    }
  } catch (error) {
    // A file that is gone is named as such.
    if (error instanceof ThinError && ['damaged', 'not-found'].includes(error.code))
      return { found: 'refused', note: error.message };
    throw error;
  }
  try {
    const problems: string[] = [];
    const frozen = await pool.tools.freeze();
    for await (const step of frozen.scrub()) if (step.kind === 'finding') problems.push(step.finding.problem);
    await frozen.close();
    let lost = 0;
    const contents = await contentsOf(pool, () => lost++);
    if (problems.length > 0) return { found: 'found', note: problems[0]! };
    if (lost === 0 && isSame(contents, last)) return { found: 'harmless', note: '' };
    const hurt = new Set([...hurtBefore, ...(await hurtBlocks(pool, store, injury))]);
    const isElse = lost > 0 || !isSame(without(contents, hurt), without(last, hurt));
    return { found: isElse ? 'silent' : 'as-on-disk', note: difference(contents, last) };
  } finally {
    await pool.close().catch(() => undefined);
  }
}

/** All files, and not in a thread, which takes longer to start than such a pool to read. */
function readHere(store: KeyValue, folder: string): void {
  store.damagedFiles = () => damagedFiles(folder, 'all');
}

interface Expected {
  readonly place: Place;
  readonly history: History;
  readonly injury: Injury;
}

interface RepairVerdict {
  readonly repaired: Repaired;
  readonly contents: Contents;
  readonly note: string;
}

/** `repair --output`, and the start of what it makes. */
async function repair(
  root: string,
  output: string,
  kind: SubjectKind,
  expected: Expected,
): Promise<RepairVerdict> {
  try {
    // As in `open`: of what a repair copies out of a damaged chunk.
    const hurtBefore = expected.injury.name === 'data' ? await hurtStored(root, expected.injury) : NONE;
    const exec = new ChildProcessExec();
    // Devices of a subject have no filesystem by which its data would be known.
    if (expected.place === 'labels') await acceptData(rootLayout(root), { force: true, exec });
    const { lost } = await repairOffline(rootLayout(root), output, { limits: SUBJECT_NODES });
    const folder = path.join(output, 'devicemapper');
    const store = await openPoolStore(folder, STORES[kind]);
    const note = lost.map((one) => `${one.path}: ${one.problem}`).join('; ');
    return await reopened(
      store,
      { root, folder },
      { ...expected, kind, hurtBefore, isTold: lost.length > 0, note },
    );
  } catch (error) {
    return nothing(error);
  }
}

/** `repair --accept-older`, and the next start. */
async function accept(root: string, kind: SubjectKind, expected: Expected): Promise<RepairVerdict> {
  const folder = path.join(root, 'devicemapper');
  try {
    const store = await openPoolStore(folder, { ...STORES[kind], acceptOlder: true });
    const state = readLogState(store);
    await store.batch(state === undefined ? [] : [acceptLog(state)], { sync: true, landmark: true });
    return await reopened(
      store,
      { root, folder },
      { ...expected, kind, hurtBefore: NONE, isTold: true, note: '' },
    );
  } catch (error) {
    return nothing(error);
  }
}

interface Reopening extends Expected {
  readonly hurtBefore: ReadonlySet<string>;
  readonly kind: SubjectKind;
  readonly isTold: boolean;
  readonly note: string;
}

/** @param root that has the data */
async function reopened(
  store: KeyValue,
  { root, folder }: { readonly root: string; readonly folder: string },
  expected: Reopening,
): Promise<RepairVerdict> {
  readHere(store, folder);
  let pool: ThinPool;
  try {
    pool = await openSubject(store, { data: dataOf(root, expected.kind), folder });
  } catch (error) {
    await store.close();
    throw error;
  }
  try {
    return await judged(pool, store, expected);
  } finally {
    await pool.close();
  }
}

async function judged(
  pool: ThinPool,
  store: KeyValue,
  { history, injury, kind, hurtBefore, isTold, note }: Reopening,
): Promise<RepairVerdict> {
  const { findings } = await pool.check();
  const contents = await contentsOf(pool);
  if (findings.length > 0) return { repaired: 'wrong', contents, note: `check: ${findings[0]!.problem}` };
  const hurt = new Set([...hurtBefore, ...(await hurtBlocks(pool, store, injury))]);
  const expected = history.map((state) => without(state, hurt));
  return { repaired: compare(without(contents, hurt), expected, { kind, isTold }), contents, note };
}

function nothing(error: unknown): RepairVerdict {
  if (!(error instanceof ThinError) || !['damaged', 'not-found'].includes(error.code)) throw error;
  return { repaired: 'nothing', contents: {}, note: error.message };
}

function dataOf(root: string, kind: SubjectKind): string | undefined {
  return kind === 'direct' ? path.join(root, 'data') : undefined;
}

const NONE: ReadonlySet<string> = new Set();

/** Of a pool whose store is well, and which is not open. */
async function hurtStored(root: string, injury: Injury): Promise<ReadonlySet<string>> {
  const store = await openPoolStore(path.join(root, 'devicemapper'));
  try {
    return await hurtIn(await openView(store, { limits: SUBJECT_NODES }), store, injury);
  } finally {
    await store.close();
  }
}

async function hurtBlocks(pool: ThinPool, store: KeyValue, injury: Injury): Promise<ReadonlySet<string>> {
  const frozen = await pool.tools.freeze();
  try {
    return await hurtIn(await frozen.view(), store, injury);
  } finally {
    await frozen.close();
  }
}

/** Blocks, as `device block`, whose bytes lie where the data of a direct pool was damaged. */
async function hurtIn(
  { devices, nodes }: MetadataView,
  store: KeyValue,
  { name, ranges }: Injury,
): Promise<ReadonlySet<string>> {
  const blocks = new Set<string>();
  if (name !== 'data') return blocks;
  const isHurt = (chunk: number): boolean =>
    ranges.some(
      ({ from, to }) => MARGIN + chunk * SUBJECT_BLOCK < to && MARGIN + (chunk + 1) * SUBJECT_BLOCK > from,
    );
  for (const device of devices)
    for await (const { begin, chunk, length } of mappingRuns(nodes, device.root))
      for (let i = 0; i < length; i++)
        if (isHurt(chunk + i) || isHurt(baseOf(store, chunk + i) ?? chunk + i))
          blocks.add(`${device.name} ${begin + i}`);
  return blocks;
}

function baseOf(store: KeyValue, chunk: number): number | undefined {
  const key = chunkBackingKey(chunkId(chunk));
  const value = store.getSync(key);
  if (value === undefined) return undefined;
  return unpackChunkBacking(unseal('chunk-backing', chunk, value, 'backing'), 'backing').backing;
}

function without(contents: Contents, blocks: ReadonlySet<string>): Contents {
  if (blocks.size === 0) return contents;
  return Object.fromEntries(
    Object.entries(contents).map(([name, found]) => [
      name,
      found.map((crc, page) => (blocks.has(`${name} ${Math.floor(page / PAGES)}`) ? ZEROES : crc)),
    ]),
  );
}

function isSame(one: Contents, other: Contents): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function compare(
  contents: Contents,
  history: History,
  { kind, isTold }: { kind: SubjectKind; isTold: boolean },
): Repaired {
  const last = history.at(-1)!;
  if (isSame(contents, last)) return 'all';
  if (!isTold) return 'wrong';
  if (isRestOf(contents, last)) return 'rest';
  for (const state of history) if (isRestOf(contents, state)) return 'earlier';
  if (kind !== 'direct') return 'wrong';
  if (isEach(contents, (crc, name, page) => history.some((state) => state[name]?.[page] === crc)))
    return 'mixed';
  const ever = new Set(history.flatMap((state) => Object.values(state).flat()));
  return isEach(contents, (crc) => ever.has(crc)) ? 'foreign' : 'wrong';
}

function isRestOf(contents: Contents, state: Contents): boolean {
  return isEach(contents, (crc, name, page) => crc === state[name]?.[page]);
}

/** What is lost is not asked about. */
function isEach(contents: Contents, is: (crc: number, name: string, page: number) => boolean): boolean {
  return Object.entries(contents).every(([name, found]) =>
    found.every((crc, page) => crc === ZEROES || crc === LOST || is(crc, name, page)),
  );
}

function samePages(contents: Contents, last: Contents): number {
  let same = 0;
  for (const [name, found] of Object.entries(last))
    found.forEach((crc, page) => {
      if (contents[name]?.[page] === crc) same++;
    });
  return same;
}

function difference(contents: Contents, last: Contents): string {
  const [now, then] = [Object.keys(contents), Object.keys(last)];
  if (now.join() !== then.join()) return `devices ${now.join(' ')} where ${then.join(' ')} were`;
  return `${samePages(last, last) - samePages(contents, last)} pages differ`;
}

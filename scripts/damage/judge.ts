import { rm } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../../src/errors/thin-error.js';
import type { PoolKind } from '../../src/pool/info.js';
import { repairPool } from '../../src/pool/repair-pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import type { DataLabel } from '../../src/format/data-label.js';
import { openDataFile } from '../../src/store/data-file.js';
import { readLabel } from '../../src/store/data-labels.js';
import { openToRepair } from '../../src/store/level-repair.js';
import { openPoolStore } from '../../src/store/pool-store.js';
import { MemoryStore } from '../../test/support/memory-store.js';
import { injure, type Case } from './injury.js';
import { Random } from './random.js';
import {
  contentsOf,
  copyRoot,
  LOST,
  openSubject,
  STORES,
  SUBJECT_NODES,
  ZEROES,
  type Contents,
  type History,
} from './subject.js';

/**
 * `none`: nothing was changed. `refused`: the pool does not open, `damaged`. `found`: it opens, and its check
 * or scrub finds it. `harmless`: all is as it was acknowledged. `silent`: something is not, and nobody said
 * so.
 */
export type Finding = 'none' | 'refused' | 'found' | 'harmless' | 'silent';

/**
 * `mixed`: as `earlier`, in a direct pool, whose data stays where it is and is newer; some blocks hold what
 * they held at another time. `all`: everything that was acknowledged. `rest`: all that is there is as it was,
 * and it says what is lost. `earlier`: the same, as of an earlier commit. `nothing`: it says that there is
 * nothing to be rebuilt. `wrong`: something is served as sound that never was.
 */
export type Repaired = 'all' | 'rest' | 'earlier' | 'mixed' | 'nothing' | 'wrong';

export interface Verdict {
  readonly what: string;
  readonly found: Finding;
  readonly repaired: Repaired;
  /** What was said, or went wrong. */
  readonly note: string;
  /** Blocks of all devices that are as they were acknowledged, after the repair, of so many. */
  readonly blocks: readonly [number, number];
}

export interface Subject {
  /** Of the pool that is injured; only copies are. */
  readonly root: string;
  readonly kind: PoolKind;
  readonly history: History;
}

/** @param scratch a folder of the caller's, where nothing else is */
export async function judge({ root, kind, history }: Subject, one: Case, scratch: string): Promise<Verdict> {
  const [hurt, opened] = [path.join(scratch, 'hurt'), path.join(scratch, 'opened')];
  try {
    await copyRoot(root, hurt);
    const what = await injure(hurt, one.place, one.how, new Random(one.seed));
    const last = history.at(-1)!;
    const blocks = Object.values(last).reduce((sum, found) => sum + found.length, 0);
    if (what === undefined)
      return { what: 'nothing', found: 'none', repaired: 'all', note: '', blocks: [blocks, blocks] };
    await copyRoot(hurt, opened);
    const { found, note } = await open(opened, kind, last);
    const { repaired, contents, note: said } = await repair(hurt, kind, history);
    return { what, found, repaired, note: `${note} | ${said}`, blocks: [sameBlocks(contents, last), blocks] };
  } finally {
    await rm(hurt, { recursive: true, force: true });
    await rm(opened, { recursive: true, force: true });
  }
}

async function open(root: string, kind: PoolKind, last: Contents): Promise<{ found: Finding; note: string }> {
  let pool: ThinPool;
  try {
    const store = await openPoolStore(path.join(root, 'devicemapper'), STORES[kind]);
    try {
      pool = await openSubject(store, kind === 'direct' ? path.join(root, 'data') : undefined);
    } catch (error) {
      await store.close();
      throw error;
    }
  } catch (error) {
    if (error instanceof ThinError && error.code === 'damaged')
      return { found: 'refused', note: error.message };
    throw error;
  }
  try {
    const { findings } = await pool.check();
    const problems = findings.map(({ problem }) => problem);
    const frozen = await pool.tools.freeze();
    for await (const step of frozen.scrub()) if (step.kind === 'finding') problems.push(step.finding.problem);
    await frozen.close();
    let lost = 0;
    const contents = await contentsOf(pool, () => lost++);
    if (problems.length > 0) return { found: 'found', note: problems[0]! };
    const isSame = lost === 0 && JSON.stringify(contents) === JSON.stringify(last);
    return { found: isSame ? 'harmless' : 'silent', note: isSame ? '' : difference(contents, last) };
  } finally {
    await pool.close().catch(() => undefined);
  }
}

async function repair(
  root: string,
  kind: PoolKind,
  history: History,
): Promise<{ repaired: Repaired; contents: Contents; note: string }> {
  const from = await openToRepair(path.join(root, 'devicemapper'));
  const to = new MemoryStore();
  const data = kind === 'direct' ? path.join(root, 'data') : undefined;
  try {
    const label = data === undefined ? undefined : await labelOf(data);
    const { lost } = await repairPool(from, to, { limits: SUBJECT_NODES, lost: from.lost, data: label });
    const pool = await openSubject(to.reopen(), data);
    try {
      const { findings } = await pool.check();
      const contents = await contentsOf(pool);
      const note = lost.map((one) => `${one.path}: ${one.problem}`).join('; ');
      if (findings.length > 0) return { repaired: 'wrong', contents, note: `check: ${findings[0]!.problem}` };
      return {
        repaired: compare(contents, history, { kind, isTold: lost.length > 0 || from.older !== undefined }),
        contents,
        note,
      };
    } finally {
      await pool.close();
    }
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    return { repaired: 'nothing', contents: {}, note: error.message };
  } finally {
    await from.close();
  }
}

/** The label's own damage is another case. */
async function labelOf(data: string): Promise<DataLabel> {
  const file = await openDataFile(data);
  try {
    return (await readLabel(file, data))!;
  } finally {
    await file.handle.close();
  }
}

function compare(
  contents: Contents,
  history: History,
  { kind, isTold }: { kind: PoolKind; isTold: boolean },
): Repaired {
  const last = history.at(-1)!;
  if (JSON.stringify(contents) === JSON.stringify(last)) return 'all';
  if (!isTold) return 'wrong';
  if (isRestOf(contents, last)) return 'rest';
  for (const state of history) if (isRestOf(contents, state)) return 'earlier';
  return kind === 'direct' ? 'mixed' : 'wrong';
}

function isRestOf(contents: Contents, state: Contents): boolean {
  return Object.entries(contents).every(([name, found]) =>
    found.every((crc, block) => crc === state[name]?.[block] || crc === ZEROES || crc === LOST),
  );
}

function sameBlocks(contents: Contents, last: Contents): number {
  let same = 0;
  for (const [name, found] of Object.entries(last))
    found.forEach((crc, block) => {
      if (contents[name]?.[block] === crc) same++;
    });
  return same;
}

function difference(contents: Contents, last: Contents): string {
  const [now, then] = [Object.keys(contents), Object.keys(last)];
  if (now.join() !== then.join()) return `devices ${now.join(' ')} where ${then.join(' ')} were`;
  return `${sameBlocks(last, last) - sameBlocks(contents, last)} blocks differ`;
}

import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import type { RootLayout } from '../config/root-layout.js';
import { HandoverEntries, handoverState, parseChange } from './handover-entries.js';
import { readLines, type HandoverLines } from './handover-lines.js';

/** As a thinfuse of before left it: one value. */
const whole = handoverState.extend({ version: z.literal(2), supervisor: z.number() });

/** What the first line has; each of the others has a change of the entries. */
const head = z.object({
  /** 3: lines of before, with no checksums; 4: with no count. */
  version: z.union([z.literal(3), z.literal(4), z.literal(5)]),
  /** Of the supervisor. If it lives, another daemon will follow. */
  supervisor: z.number(),
  maxIo: z.number(),
});

/** All that a daemon knows and its pool does not, so that the next one can go on below mounts that stay. */
export type Handover = Omit<z.infer<typeof whole>, 'version'>;

export function handoverFile({ root }: Pick<RootLayout, 'root'>): string {
  return path.join(root, 'handover.json');
}

export function handoverHead(fields: Omit<z.infer<typeof head>, 'version'>): string {
  return JSON.stringify({ version: 5, ...fields });
}

/**
 * The handover of the last daemon. Undefined if there is none, or none that this version understands, or one
 * that is damaged or cut.
 */
export function readHandover(layout: Pick<RootLayout, 'root'>): Handover | undefined {
  try {
    const text = readFileSync(handoverFile(layout), 'utf8');
    const { texts, count } = text.startsWith('{') ? endedLines(text) : (readLines(text) ?? NO_LINES);
    const [first = '', ...lines] = texts;
    const begun = head.safeParse(JSON.parse(first)).data;
    // A part of it says less than nothing: what the last daemon had is found on the host then, and ended.
    if (begun?.version === 5 && (count === undefined || texts.length < count)) return undefined;
    return begun === undefined ? whole.safeParse(JSON.parse(text)).data : entriesIn(lines, begun);
  } catch {
    return undefined;
  }
}

/** Of a thinfuse of before. What follows the last line's end is a line that its writer did not end. */
function endedLines(text: string): HandoverLines {
  const lines = text.split('\n');
  return { texts: lines.length === 1 ? lines : lines.slice(0, -1), count: undefined };
}

const NO_LINES: HandoverLines = { texts: [], count: undefined };

function entriesIn(
  lines: readonly string[],
  { supervisor, maxIo }: z.infer<typeof head>,
): Handover | undefined {
  const entries = new HandoverEntries();
  for (const line of lines) {
    const change = parseChange(line);
    if (change === undefined) return undefined;
    entries.apply(change);
  }
  return { supervisor, ...entries.state(maxIo) };
}

export function hasHandover(layout: Pick<RootLayout, 'root'>): boolean {
  return existsSync(handoverFile(layout));
}

/** Of a daemon without a successor. */
export function removeHandover(layout: Pick<RootLayout, 'root'>): void {
  for (const ending of ['', '.tmp']) rmSync(`${handoverFile(layout)}${ending}`, { force: true });
}

/**
 * A daemon ended, and its living supervisor is about to start the next one. No other process may take the
 * pool meanwhile.
 */
export function isBeingReplaced(layout: Pick<RootLayout, 'root'>): boolean {
  const pid = readHandover(layout)?.supervisor;
  if (pid === undefined) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--supervised');
  } catch {
    return false;
  }
}

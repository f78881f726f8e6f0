import { crc32 } from 'node:zlib';

/**
 * file  := pair(count) pair(line)...
 * pair(x) := x '\n' '\n' x '\n'
 * count := checksum 'n' ' ' 12 digits       how many lines there are, at least
 * line  := checksum number ' ' text         checksum: 8 hexadecimal digits, the CRC-32 of what follows
 *
 * Each line stands twice, with its number, so that a flipped bit or an end that is torn costs none: what a
 * daemon knew of the kernel's nodes and handles stands nowhere else. The count is written over after each
 * line, so that a file that was cut is known for it.
 *
 * @param number how many lines stand before it
 */
export function packLine(number: number, text: string): string {
  return pair(`${number} ${text}`);
}

/** Always of the same length. */
export function packCount(lines: number): string {
  return pair(`${COUNT}${String(lines).padStart(12, '0')}`);
}

export interface HandoverLines {
  /** In the order of their numbers. */
  readonly texts: readonly string[];
  /** Undefined: of a thinfuse of before, which had none, or damaged in both places. */
  readonly count: number | undefined;
}

/**
 * The last may be missing if its writer has died: then no caller has heard of it, and the count does not
 * include it. Undefined: one in their midst is damaged in both places.
 */
export function readLines(text: string): HandoverLines | undefined {
  const found = new Map<number, string>();
  let count: number | undefined;
  for (const line of text.split('\n')) {
    const body = line.slice(8);
    const gap = body.indexOf(' ');
    if (gap <= 0 || checksum(body) !== line.slice(0, 8)) continue;
    if (body.startsWith(COUNT)) count = Math.max(count ?? 0, Number(body.slice(gap + 1)));
    else found.set(Number(body.slice(0, gap)), body.slice(gap + 1));
  }
  const texts = Array.from({ length: found.size }, (_, number) => found.get(number));
  return texts.every((one) => one !== undefined) ? { texts, count } : undefined;
}

const COUNT = 'n ';

function pair(body: string): string {
  const line = `${checksum(body)}${body}`;
  // A lost end of a line would make one of the two.
  return `${line}\n\n${line}\n`;
}

function checksum(body: string): string {
  return crc32(body).toString(16).padStart(8, '0');
}

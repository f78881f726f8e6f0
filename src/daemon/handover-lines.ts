import { crc32 } from 'node:zlib';

/**
 * pair := line '\n' '\n' line '\n'
 * line := checksum number ' ' text         checksum: 8 hexadecimal digits, the CRC-32 of what follows
 *
 * Each line stands twice, with its number, so that a flipped bit or an end that is torn costs none: what a
 * daemon knew of the kernel's nodes and handles stands nowhere else.
 *
 * @param number how many lines stand before it
 */
export function packLine(number: number, text: string): string {
  const body = `${number} ${text}`;
  const line = `${checksum(body)}${body}`;
  // A lost end of a line would make one of the two.
  return `${line}\n\n${line}\n`;
}

/**
 * The texts in the order of their numbers. The last may be missing if its writer has died: then nobody has
 * heard of it. Undefined: one in their midst is damaged in both places.
 */
export function readLines(text: string): readonly string[] | undefined {
  const found = new Map<number, string>();
  for (const line of text.split('\n')) {
    const body = line.slice(8);
    const gap = body.indexOf(' ');
    if (gap > 0 && checksum(body) === line.slice(0, 8))
      found.set(Number(body.slice(0, gap)), body.slice(gap + 1));
  }
  const texts = Array.from({ length: found.size }, (_, number) => found.get(number));
  return texts.every((one) => one !== undefined) ? texts : undefined;
}

function checksum(body: string): string {
  return crc32(body).toString(16).padStart(8, '0');
}

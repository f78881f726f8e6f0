import { once } from 'node:events';
import type { Context } from './context.js';

/** One line, or lines, for people. */
export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') || text === '' ? text : `${text}\n`);
}

/** A JSON document for scripts; what is not there is null, so that every form always has the same keys. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, (_key, item: unknown) => item ?? null, 2));
}

/** Text of any length, as fast as its reader takes it. */
export async function printPieces(pieces: AsyncIterable<string>): Promise<void> {
  for await (const piece of pieces)
    if (!process.stdout.write(piece) && process.stdout.writable) await once(process.stdout, 'drain');
}

/** Beside the result: hints and warnings. */
export function note(text: string): void {
  process.stderr.write(`thinfuse: ${text}\n`);
}

export function printResult(context: Context, value: unknown, text: string): void {
  if (context.json) printJson(value);
  else print(text);
}

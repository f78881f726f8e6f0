import type { Context } from './context.js';
import { standardError, standardOutput } from './standard-stream.js';

/** One line, or lines, for people. @throws ThinError as `StandardStream.write` */
export function print(text: string): void {
  standardOutput.write(text.endsWith('\n') || text === '' ? text : `${text}\n`);
}

/** A JSON document for scripts; what is not there is null, so that every form always has the same keys. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, (_key, item: unknown) => item ?? null, 2));
}

/** Text of any length, as fast as its reader takes it. */
export async function printPieces(
  pieces: AsyncIterable<string> | Iterable<string | Uint8Array>,
): Promise<void> {
  for await (const piece of pieces) standardOutput.write(piece);
}

/**
 * Beside the result: hints and warnings. Where they cannot be told, what was asked for is done all the same.
 */
export function note(text: string): void {
  complain(`thinfuse: ${text}\n`);
}

/** On standard error. */
export function complain(text: string): void {
  try {
    standardError.write(text);
  } catch {
    // The reader is gone, so there is nothing to do.
  }
}

export function printResult(context: Context, value: unknown, text: string): void {
  if (context.json) printJson(value);
  else print(text);
}

import { ThinError } from '../errors/thin-error.js';
import { packError, unpackError } from './wire.js';

/**
 * Text of any length over the control socket, one JSON value a line, so that a failure half way is told and
 * an end that is none is noticed:
 *
 *   {"text":"..."} × n   then   {"end":true}   or   {"error":{...}}
 */
export async function* encodeLines(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  try {
    for await (const text of pieces) yield `${JSON.stringify({ text })}\n`;
    yield `${JSON.stringify({ end: true })}\n`;
  } catch (error) {
    yield `${JSON.stringify(packError(error))}\n`;
  }
}

/** @throws ThinError as the other side threw it; closed, where the text breaks off */
export async function* decodeLines(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const piece of bytes) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      const value = parseLine(line);
      if (typeof value.text === 'string') yield value.text;
      else if (value.end === true) return;
      else throw unpackError(value);
    }
  }
  throw new ThinError(
    'closed',
    'the daemon went away before its answer was complete; start it and try again',
  );
}

function parseLine(line: string): { readonly text?: unknown; readonly end?: unknown } {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Told below.
  }
  throw new ThinError('internal', `the daemon's answer is not understood: ${line.slice(0, 200)}`);
}

import { setImmediate as nextTurn } from 'node:timers/promises';

/** Elements of an array that become text at once: some hundred bytes each. */
const ELEMENTS = 128;
/** UTF-16 units of a string that become text at once. */
const UNITS = 64 * 1024;

/** Whether `JSON.stringify` might hold up others. Looks no deeper than an answer's own fields. */
export function isLong(value: unknown): boolean {
  if (typeof value === 'string') return value.length > UNITS;
  if (Array.isArray(value)) return value.length > ELEMENTS;
  return isPlain(value) && Object.values(value).some((field) => !isPlain(field) && isLong(field));
}

/**
 * The text of `JSON.stringify`, made in bounded steps between which others have their turns. For values
 * without a `toJSON`.
 */
export async function* jsonPieces(value: unknown): AsyncGenerator<string> {
  for (const piece of piecesOf(value)) {
    yield piece;
    await nextTurn();
  }
}

/** A text in short pieces, between which others have their turns. */
export async function* textPieces(text: string): AsyncGenerator<string> {
  for (let at = 0; at < text.length;) {
    // Each piece is encoded alone: a pair of surrogates stays together.
    const end = at + UNITS + Number((text.charCodeAt(at + UNITS - 1) & 0xfc00) === 0xd800);
    yield text.slice(at, end);
    at = end;
    await nextTurn();
  }
}

function* piecesOf(value: unknown): Generator<string> {
  if (!isLong(value)) yield JSON.stringify(value);
  else if (typeof value === 'string') yield* piecesOfText(value);
  else if (Array.isArray(value)) yield* piecesOfArray(value);
  else if (isPlain(value)) yield* piecesOfObject(value);
}

function* piecesOfArray(values: readonly unknown[]): Generator<string> {
  for (let at = 0; at < values.length; at += ELEMENTS)
    yield `${at === 0 ? '[' : ','}${JSON.stringify(values.slice(at, at + ELEMENTS)).slice(1, -1)}`;
  yield ']';
}

/** A pair of surrogates that is cut becomes two escapes, which mean the same. */
function* piecesOfText(text: string): Generator<string> {
  yield '"';
  for (let at = 0; at < text.length; at += UNITS)
    yield JSON.stringify(text.slice(at, at + UNITS)).slice(1, -1);
  yield '"';
}

function* piecesOfObject(value: object): Generator<string> {
  let before = '{';
  for (const [key, field] of Object.entries(value) as [string, unknown][]) {
    if (field === undefined) continue;
    yield `${before}${JSON.stringify(key)}:`;
    yield* piecesOf(field);
    before = ',';
  }
  yield before === '{' ? '{}' : '}';
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

import { ThinError } from '../errors/thin-error.js';

export interface FilterToken {
  readonly kind: 'field' | 'value' | 'quoted' | 'operator' | 'separator';
  /** Without its quotes and escapes. */
  readonly text: string;
  /** Of a quoted one. */
  readonly quote?: string;
  /** Where it begins. */
  readonly at: number;
}

const SPACE = /\s+/y;
const OPERATOR = /[=!~]+/y;
const FIELD = /[A-Za-z0-9_]+/y;
// eslint-disable-next-line no-control-regex -- containerd's scanner takes graphic characters only
const VALUE = /[^\s,\u0000-\u001f\u007f]+/y;
const QUOTES = '"/|';
const ESCAPED: Readonly<Record<string, string>> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
};

/**
 * As containerd's filters/scanner.go: behind an operator comes a value, which may hold dots; elsewhere
 * letters, digits and _ make a field.
 * @throws ThinError invalid-argument
 */
export function scanFilter(text: string): readonly FilterToken[] {
  const tokens: FilterToken[] = [];
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };
  const push = (kind: FilterToken['kind'], raw: string): void => {
    tokens.push({ kind, text: raw, at });
    at += raw.length;
  };
  while (at < text.length) {
    const space = take(SPACE);
    if (space !== undefined) {
      at += space.length;
      continue;
    }
    const character = text[at]!;
    if (QUOTES.includes(character)) {
      const quoted = scanQuoted(text, at);
      tokens.push({ kind: 'quoted', text: quoted.text, quote: character, at });
      at = quoted.end;
    } else if (character === ',' || character === '.') push('separator', character);
    else {
      const valueNext = tokens.at(-1)?.kind === 'operator';
      const operator = take(OPERATOR);
      const word = take(valueNext ? VALUE : FIELD);
      if (operator !== undefined) push('operator', operator);
      else if (word !== undefined) push(valueNext ? 'value' : 'field', word);
      else throw problem(text, at, `${JSON.stringify(character)} has no meaning here`);
    }
  }
  return tokens;
}

/** Go's quoting (strconv), also between / and between |. */
function scanQuoted(text: string, start: number): { text: string; end: number } {
  const quote = text[start]!;
  let out = '';
  let at = start + 1;
  while (at < text.length) {
    const character = text[at]!;
    if (character === quote) return { text: out, end: at + 1 };
    if (character === '\n') break;
    if (character === '\\') {
      const escape = readEscape(text, at, quote);
      out += escape.text;
      at = escape.end;
    } else {
      out += character;
      at++;
    }
  }
  throw problem(text, start, 'the quote has no end');
}

function readEscape(text: string, at: number, quote: string): { text: string; end: number } {
  const letter = text[at + 1] ?? '';
  const plain = letter === quote ? quote : ESCAPED[letter];
  if (plain !== undefined) return { text: plain, end: at + 2 };
  const digits = /\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-3][0-7]{2}))/y;
  digits.lastIndex = at;
  const found = digits.exec(text);
  const code = Number.parseInt(
    found?.[1] ?? found?.[2] ?? found?.[3] ?? found?.[4] ?? '',
    found?.[4] === undefined ? 16 : 8,
  );
  if (found === null || code > 0x10ffff) throw problem(text, at, 'there is no such escape');
  return { text: String.fromCodePoint(code), end: at + found[0].length };
}

function problem(text: string, at: number, what: string): ThinError {
  return new ThinError(
    'invalid-argument',
    `the filter ${JSON.stringify(text)} is not understood at character ${at + 1}: ${what}`,
  );
}

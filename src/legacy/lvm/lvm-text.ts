import { legacyDamage } from '../legacy-damage.js';

export type LvmValue = number | string | readonly LvmValue[];

/** A section of LVM's configuration text: names with values, and sections in it. */
export interface LvmSection {
  readonly values: ReadonlyMap<string, LvmValue>;
  readonly sections: ReadonlyMap<string, LvmSection>;
}

/** Sections in one another; LVM writes four. */
const MAX_DEPTH = 16;

const TOKEN =
  /\s+|#[^\n]*|(?<string>"(?:[^"\\]|\\.)*")|(?<number>[+-]?\d+(?:\.\d+)?(?![A-Za-z0-9_.+/-]))|(?<name>[A-Za-z0-9_.+/@-]+)|(?<mark>[{}[\]=,])/sy;

interface Token {
  readonly kind: 'string' | 'number' | 'name' | 'mark' | 'end';
  readonly text: string;
}

/** text := (name "=" value | name "{" text "}")*; value := number | string | "[" value,* "]"; "#" to a line's end is a comment. Errors: damaged. */
export function parseLvmText(text: string, path: string): LvmSection {
  return parseSection(tokensOf(text, path), path, 0);
}

type Tokens = Iterator<Token, Token>;

function* tokensOf(text: string, path: string): Generator<Token, Token> {
  const pattern = new RegExp(TOKEN);
  let at = 0;
  while (at < text.length) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null)
      throw legacyDamage(path, `its text cannot be read at ${JSON.stringify(text.slice(at, at + 20))}`);
    at = pattern.lastIndex;
    const { string, number, name, mark } = match.groups ?? {};
    if (string !== undefined) yield { kind: 'string', text: string.slice(1, -1).replace(/\\(.)/gs, '$1') };
    else if (number !== undefined) yield { kind: 'number', text: number };
    else if (name !== undefined) yield { kind: 'name', text: name };
    else if (mark !== undefined) yield { kind: 'mark', text: mark };
  }
  return { kind: 'end', text: 'the end' };
}

/** Up to its closing bracket, which is taken, or the end of the text at the top. */
function parseSection(tokens: Tokens, path: string, depth: number): LvmSection {
  if (depth > MAX_DEPTH) throw legacyDamage(path, 'its sections lie too deep');
  const values = new Map<string, LvmValue>();
  const sections = new Map<string, LvmSection>();
  for (;;) {
    const token = tokens.next().value;
    if (depth === 0 ? token.kind === 'end' : token.text === '}' && token.kind === 'mark')
      return { values, sections };
    if (token.kind !== 'name' && token.kind !== 'number')
      throw legacyDamage(path, `${token.text} stands where a name belongs`);
    const next = tokens.next().value;
    if (next.text === '{') sections.set(token.text, parseSection(tokens, path, depth + 1));
    else if (next.text === '=') values.set(token.text, parseValue(tokens.next().value, tokens, path));
    else throw legacyDamage(path, `${next.text} stands behind the name ${token.text}`);
  }
}

function parseValue(token: Token, tokens: Tokens, path: string): LvmValue {
  if (token.kind === 'string') return token.text;
  if (token.kind === 'number') return Number(token.text);
  if (token.text !== '[') throw legacyDamage(path, `${token.text} stands where a value belongs`);
  const list: LvmValue[] = [];
  for (
    let next = tokens.next().value;
    next.text !== ']' || next.kind !== 'mark';
    next = tokens.next().value
  ) {
    if (next.kind === 'mark' && next.text === ',') continue;
    if (next.kind === 'mark' || next.kind === 'end') throw legacyDamage(path, `a list has ${next.text}`);
    list.push(parseValue(next, tokens, path));
  }
  return list;
}

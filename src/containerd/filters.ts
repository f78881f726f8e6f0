import { RE2JS } from 're2js';
import { ThinError } from '../errors/thin-error.js';
import { scanFilter, type FilterToken } from './filter-scanner.js';
import type { SnapshotRecord } from './snapshot-record.js';

export type SnapshotFilter = (record: SnapshotRecord) => boolean;

/** Undefined where a snapshot has no such field. */
type Field = (record: SnapshotRecord) => string | undefined;

/**
 * containerd's filters (filters/parser.go), of which any has to match; none matches all.
 *
 *     filter    := selector { ',' selector }             every selector has to match
 *     selector  := fieldpath [ operator value ]          without an operator: the field is there
 *     fieldpath := field { '.' field }                   name, parent, kind, labels.KEY; a field may be quoted
 *     operator  := '==' | '!=' | '~='                    the last takes a regular expression of RE2
 *     value     := quoted | all but white space and ','
 *
 * @throws ThinError invalid-argument
 */
export function parseFilters(filters: readonly string[]): SnapshotFilter {
  if (filters.length === 0) return () => true;
  const any = filters.map((text) => (text === '' ? () => true : new Parser(text).parse()));
  return (record) => any.some((matches) => matches(record));
}

class Parser {
  readonly #text: string;
  readonly #tokens: readonly FilterToken[];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
    this.#tokens = scanFilter(text);
  }

  parse(): SnapshotFilter {
    const all: SnapshotFilter[] = [this.#selector()];
    while (this.#peek() !== undefined) {
      this.#expect(',');
      all.push(this.#selector());
    }
    return (record) => all.every((matches) => matches(record));
  }

  #selector(): SnapshotFilter {
    const field = fieldOf(this.#fieldPath());
    const next = this.#peek();
    if (next === undefined || next.text === ',') return (record) => field(record) !== undefined;
    return this.#comparison(field, this.#operator());
  }

  #fieldPath(): readonly string[] {
    const path = [this.#word('field', 'a field or a quoted text')];
    while (this.#peek()?.kind === 'separator' && this.#peek()?.text === '.') {
      this.#at++;
      path.push(this.#word('field', 'a field or a quoted text'));
    }
    return path;
  }

  #comparison(field: Field, operator: string): SnapshotFilter {
    const quote = this.#peek()?.quote;
    if (operator !== '~=' && quote !== undefined && quote !== '"')
      throw this.#problem('only a regular expression is quoted with / or |');
    const value = this.#word('value', 'a value');
    switch (operator) {
      case '==':
        return (record) => field(record) === value;
      case '!=':
        return (record) => (field(record) ?? '') !== value;
      default: {
        const expression = this.#compile(value);
        return (record) => expression.matcher(field(record) ?? '').find();
      }
    }
  }

  #operator(): string {
    const token = this.#peek();
    if (token?.kind !== 'operator' || !['==', '!=', '~='].includes(token.text))
      throw this.#problem('expected an operator: == or != or ~=');
    this.#at++;
    return token.text;
  }

  #compile(expression: string): RE2JS {
    try {
      return RE2JS.compile(expression);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw this.#problem(`${JSON.stringify(expression)} is not a regular expression: ${reason}`);
    }
  }

  #word(kind: 'field' | 'value', what: string): string {
    const token = this.#peek();
    const fits =
      token?.kind === 'quoted' || token?.kind === 'field' || (kind === 'value' && token?.kind === 'value');
    if (token === undefined || !fits) throw this.#problem(`expected ${what}`);
    this.#at++;
    return token.text;
  }

  #expect(separator: ','): void {
    const token = this.#peek();
    if (token?.kind !== 'separator' || token.text !== separator) throw this.#problem('expected a comma');
    this.#at++;
  }

  #peek(): FilterToken | undefined {
    return this.#tokens[this.#at];
  }

  #problem(what: string): ThinError {
    const at = this.#peek()?.at ?? this.#text.length;
    return new ThinError(
      'invalid-argument',
      `the filter ${JSON.stringify(this.#text)} is not understood at character ${at + 1}: ${what}`,
    );
  }
}

/**
 * As containerd's adaptSnapshot (snapshots/storage/bolt.go); an unknown field is one that no snapshot has.
 */
function fieldOf([first, ...rest]: readonly string[]): Field {
  const label = rest.join('.');
  switch (first) {
    case 'name':
      return ({ key }) => key;
    case 'parent':
      return ({ parent }) => parent;
    case 'kind':
      return ({ kind }) => kind;
    case 'labels':
      return ({ labels }) => (Object.hasOwn(labels, label) ? labels[label] : undefined);
    default:
      return () => undefined;
  }
}

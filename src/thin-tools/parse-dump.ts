import { SaxesParser, type SaxesTagPlain } from 'saxes';
import { ThinError } from '../errors/thin-error.js';
import type { MappingRun } from '../metadata/mapping-runs.js';
import { parseDeviceFacts, parsePoolFacts, type DeviceFacts, type PoolFacts } from './facts.js';

export interface DumpedSuperblock {
  readonly time: number;
  readonly transaction: number;
  /** Bit 0: needs_check. */
  readonly flags: number;
  /** Sectors of 512 bytes. */
  readonly dataBlockSize: number;
  readonly dataBlocks: number;
}

export interface DumpedDevice {
  readonly id: number;
  readonly transaction: number;
  readonly creationTime: number;
  readonly snapTime: number;
}

/** Told of a dump in the order of the text. What it throws ends the parsing. */
export interface DumpHandler {
  superblock(superblock: DumpedSuperblock): void;
  poolFacts(facts: PoolFacts): void;
  device(device: DumpedDevice): void;
  deviceFacts(facts: DeviceFacts): void;
  run(run: MappingRun): void;
  endDevice(): void;
}

const MAX_U32 = 2 ** 32 - 1;

/**
 * Reads what `dump` and thin_dump write, `<def>` and `<ref>` of thin_dump 1.x among it; an unknown element or
 * attribute is an error.
 * @throws ThinError invalid-argument, naming line and column; what the handler throws
 */
export async function parseDump(
  text: AsyncIterable<string> | Iterable<string>,
  handler: DumpHandler,
): Promise<void> {
  const parser = new DumpParser(handler);
  for await (const piece of text) parser.write(piece);
  parser.end();
}

class DumpParser {
  readonly #sax = new SaxesParser();
  readonly #handler: DumpHandler;
  /** Open elements from the outside in. */
  readonly #open: string[] = [];
  readonly #definitions = new Map<string, MappingRun[]>();
  #definition: MappingRun[] | undefined;
  #complete = false;

  constructor(handler: DumpHandler) {
    this.#handler = handler;
    this.#sax.on('error', (error) => {
      throw new ThinError('invalid-argument', `the dump is not XML: ${error.message}`, { cause: error });
    });
    this.#sax.on('opentag', (tag) => this.#begin(tag));
    this.#sax.on('closetag', (tag) => this.#end(tag));
    this.#sax.on('comment', (comment) => this.#comment(comment));
  }

  write(piece: string): void {
    this.#sax.write(piece);
  }

  end(): void {
    this.#sax.close();
    if (!this.#complete) throw this.#wrong('it holds no superblock');
  }

  #begin({ name, attributes }: SaxesTagPlain): void {
    const parent = this.#open.at(-1);
    const from = new Attributes(name, attributes, (problem) => this.#wrong(problem));
    if (name === 'superblock' && parent === undefined) this.#superblock(from);
    else if (name === 'def' && parent === 'superblock')
      this.#definitions.set(from.text('name'), (this.#definition = []));
    else if (name === 'device' && parent === 'superblock') this.#device(from);
    else if (parent !== 'device' && parent !== 'def')
      throw this.#wrong(
        `<${name}> does not belong ${parent === undefined ? 'at the top' : `into <${parent}>`}`,
      );
    else if (name === 'single_mapping')
      this.#run({
        begin: from.number('origin_block', MAX_U32),
        chunk: from.number('data_block', MAX_U32),
        length: 1,
        time: from.number('time', MAX_U32),
      });
    else if (name === 'range_mapping')
      this.#run({
        begin: from.number('origin_begin', MAX_U32),
        chunk: from.number('data_begin', MAX_U32),
        length: from.number('length', MAX_U32),
        time: from.number('time', MAX_U32),
      });
    else if (name === 'ref') this.#reference(from.text('name'));
    else throw this.#wrong(`<${name}> is not known`);
    from.refuseOthers();
    this.#open.push(name);
  }

  #end({ name }: { name: string }): void {
    this.#open.pop();
    if (name === 'device') this.#handler.endDevice();
    else if (name === 'def') this.#definition = undefined;
    else if (name === 'superblock') this.#complete = true;
  }

  #superblock(from: Attributes): void {
    // What only other versions write, and what a pool here has no use for.
    from.optional('uuid', 'version', 'metadata_snap');
    this.#handler.superblock({
      time: from.number('time', MAX_U32),
      transaction: from.number('transaction'),
      flags: from.number('flags', MAX_U32, 0),
      dataBlockSize: from.number('data_block_size', MAX_U32),
      dataBlocks: from.number('nr_data_blocks', MAX_U32),
    });
  }

  #device(from: Attributes): void {
    // The mappings say it better.
    from.optional('mapped_blocks');
    this.#handler.device({
      id: from.number('dev_id', MAX_U32),
      transaction: from.number('transaction'),
      creationTime: from.number('creation_time', MAX_U32),
      snapTime: from.number('snap_time', MAX_U32),
    });
  }

  #run(run: MappingRun): void {
    const definition = this.#definition;
    if (definition === undefined) {
      this.#handler.run(run);
      return;
    }
    // As in a device; and so definitions that refer to each other cannot multiply without end.
    const last = definition.at(-1);
    if (last !== undefined && run.begin < last.begin + last.length)
      throw this.#wrong(`block ${run.begin} comes after block ${last.begin + last.length - 1}`);
    definition.push(run);
  }

  #reference(name: string): void {
    const runs = this.#definitions.get(name);
    if (runs === undefined || runs === this.#definition)
      throw this.#wrong(`<ref name="${name}"> comes before its <def>`);
    for (const run of runs) this.#run(run);
  }

  #comment(text: string): void {
    const parent = this.#open.at(-1);
    try {
      if (parent === 'superblock') {
        const facts = parsePoolFacts(text);
        if (facts !== undefined) this.#handler.poolFacts(facts);
      } else if (parent === 'device') {
        const facts = parseDeviceFacts(text);
        if (facts !== undefined) this.#handler.deviceFacts(facts);
      }
    } catch (error) {
      if (error instanceof ThinError) throw error;
      throw this.#wrong('a thinfuse comment is not as it was written; take it out, or mend it');
    }
  }

  #wrong(problem: string): ThinError {
    const { line, column } = this.#sax;
    return new ThinError(
      'invalid-argument',
      `the dump is not what thin_dump writes: line ${line}, column ${column}: ${problem}`,
      { details: { line, column } },
    );
  }
}

class Attributes {
  readonly #element: string;
  readonly #given: Readonly<Record<string, string>>;
  readonly #wrong: (problem: string) => ThinError;
  readonly #known = new Set<string>();

  constructor(
    element: string,
    given: Readonly<Record<string, string>>,
    wrong: (problem: string) => ThinError,
  ) {
    this.#element = element;
    this.#given = given;
    this.#wrong = wrong;
  }

  text(name: string): string {
    this.#known.add(name);
    const value = this.#given[name];
    if (value === undefined) throw this.#wrong(`<${this.#element}> has no ${name}`);
    return value;
  }

  number(name: string, max = Number.MAX_SAFE_INTEGER, missing?: number): number {
    if (missing !== undefined && this.#given[name] === undefined) return missing;
    const text = this.text(name);
    if (!/^\d+$/.test(text) || Number(text) > max)
      throw this.#wrong(`${name}="${text}" is not a number from 0 to ${max}`);
    return Number(text);
  }

  optional(...names: readonly string[]): void {
    for (const name of names) this.#known.add(name);
  }

  refuseOthers(): void {
    const other = Object.keys(this.#given).find((name) => !this.#known.has(name));
    if (other !== undefined)
      throw this.#wrong(`<${this.#element}> has an attribute ${other}, which is not known`);
  }
}

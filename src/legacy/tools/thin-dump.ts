import {
  DUMP_WORDS,
  type DumpedSuperblock,
  type DumpFormat,
  type DumpWords,
} from '../../thin-tools/dump-words.js';
import { LineBytes } from '../../thin-tools/line-bytes.js';
import { dumpedDevice } from '../device-details.js';
import { dataBlockOf, MAPPING_BYTES } from '../mapping-value.js';
import { ToolFault } from './tool-blocks.js';
import type { ToolMetadata } from './tool-metadata.js';
import type { ToolNode } from './tool-node.js';
import { Stop, ToolWalk, untilDamage } from './tool-walk.js';

const PIECE = 256 * 1024;
const DAMAGE =
  'metadata contains errors (run thin_check for details).\nperhaps you wanted to run with --repair';
const TIME_MASK = 2 ** 24 - 1;

/** What stands in place of what the superblock says, or has to where it is lost. */
export interface DumpOverrides {
  readonly transaction?: bigint | undefined;
  /** Bytes. */
  readonly blockSize?: number | undefined;
  readonly dataBlocks?: number | undefined;
}

export interface ThinDumpOptions {
  readonly format: DumpFormat;
  readonly repair: boolean;
  /** All unless given. */
  readonly devices?: readonly number[] | undefined;
  readonly skipMappings: boolean;
  readonly overrides: DumpOverrides;
}

/**
 * The text of thin_dump 0.9, in pieces; with `repair` and `repairedMetadata`, what thin_repair writes. What
 * comes before damage is told before it fails. @throws ToolFault
 */
export function thinDumpText(metadata: ToolMetadata, options: ThinDumpOptions): Generator<string | Buffer> {
  return new Dumper(metadata, options).text();
}

class Dumper {
  readonly #metadata: ToolMetadata;
  readonly #options: ThinDumpOptions;
  readonly #words: DumpWords;

  constructor(metadata: ToolMetadata, options: ThinDumpOptions) {
    this.#metadata = metadata;
    this.#options = options;
    this.#words = DUMP_WORDS[options.format];
  }

  *text(): Generator<string | Buffer> {
    const { repair } = this.#options;
    const details = this.#metadata.details(true, () => {
      if (!repair) throw new ToolFault(DAMAGE);
    });
    yield this.#words.begin(this.#superblock());
    const { roots, isWhole } = this.#roots();
    for (const [id, root] of roots) {
      const its = details.get(id);
      if (its === undefined) throw new ToolFault(DAMAGE);
      yield this.#words.beginDevice(dumpedDevice(id, its));
      if (!this.#options.skipMappings) yield* this.#mappings(root);
      yield this.#words.endDevice;
    }
    if (!isWhole && !repair) throw new ToolFault(DAMAGE);
    yield this.#words.end;
  }

  /** Devices up to the first damage; all that can be read in a repair. */
  #roots(): { readonly roots: readonly (readonly [number, number])[]; readonly isWhole: boolean } {
    const { devices, repair } = this.#options;
    const roots: [number, number][] = [];
    const isWhole = untilDamage((onDamage) => {
      const shape = { levels: 1, valueSize: MAPPING_BYTES, ignoreNonFatal: true } as const;
      const walk = new ToolWalk(this.#metadata.blocks, shape, onDamage);
      for (const { node } of walk.leaves(this.#metadata.superblock.mappingRoot))
        for (let index = 0; index < node.count; index++)
          if (devices === undefined || devices.includes(node.key(index)))
            roots.push([node.key(index), node.block(index)]);
    }, repair);
    return { roots, isWhole };
  }

  *#mappings(root: number): Generator<string | Buffer> {
    const { repair } = this.#options;
    const writer = new RunWriter(this.#words);
    const onDamage = (): void => {
      if (!repair) throw new Stop();
    };
    try {
      for (const { node } of this.#metadata.mappings(root, true, onDamage)) {
        writer.leaf(node);
        if (writer.isFull) yield writer.take();
      }
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
      yield writer.end();
      yield this.#words.endDevice;
      // Once by the device, and once by the dump.
      throw new ToolFault(`${DAMAGE}${DAMAGE}`);
    }
    yield writer.end();
  }

  #superblock(): DumpedSuperblock {
    const { superblock, dataBlocks } = this.#metadata;
    const { overrides } = this.#options;
    return {
      ...superblock,
      transaction: overrides.transaction ?? superblock.transaction,
      blockSize: overrides.blockSize ?? superblock.blockSize,
      dataBlocks: overrides.dataBlocks ?? dataBlocks,
    };
  }
}

/** Joins mappings to runs, and runs to text. */
class RunWriter {
  readonly #words: DumpWords;
  readonly #lines = new LineBytes(PIECE);
  #begin = 0;
  #data = 0;
  #time = 0;
  #length = 0;

  constructor(words: DumpWords) {
    this.#words = words;
  }

  get isFull(): boolean {
    return this.#lines.isFull;
  }

  leaf(node: ToolNode): void {
    for (let index = 0, next: number; index < node.count; index = next) {
      next = node.runEnd(index);
      const begin = node.key(index);
      const low = node.low(index);
      const data = dataBlockOf(low, node.high(index));
      const time = low & TIME_MASK;
      const goesOn =
        this.#length > 0 &&
        begin === this.#begin + this.#length &&
        data === this.#data + this.#length &&
        time === this.#time;
      if (!goesOn) {
        this.#flush();
        this.#begin = begin;
        this.#data = data;
        this.#time = time;
      }
      this.#length += next - index;
    }
  }

  take(): Buffer {
    return this.#lines.take();
  }

  /** With the last run. */
  end(): Buffer {
    this.#flush();
    return this.take();
  }

  #flush(): void {
    const length = this.#length;
    if (length > 0)
      this.#words.run({ begin: this.#begin, chunk: this.#data, length, time: this.#time }, this.#lines);
    this.#length = 0;
  }
}

import { ThinError } from '../../errors/thin-error.js';
import { METADATA_BLOCK } from '../disk-block.js';

/**
 * The small language in which thin_metadata_pack writes blocks. An instruction begins with a byte: what it
 * does in the high half, a number in the low one.
 */
const SET = 0;
const POS = 1;
const POS_WIDE = 2;
const NEG = 3;
const NEG_WIDE = 4;
const CONST = 5;
const CONST_LONG = 6;
const COUNT = 7;
const COUNT_LONG = 8;
const LITERAL = 9;
const LITERAL_WIDE = 10;
const SHIFTED = 11;

const HEADER = 32;
const KEY = 8;
const LEAF = 2;
/** Bits of a mapping that are its time. */
const TIME_BITS = 24n;
const TIME_MASK = (1n << TIME_BITS) - 1n;
/** Instructions inside one another; the packer writes two. */
const MAX_DEPTH = 4;

/** A block of metadata as instructions. Nodes are packed well, and other blocks as they are. */
export function packBlock(bytes: Buffer, isNode: boolean): Buffer {
  const out = new Writer();
  const capacity = bytes.readUInt32LE(20);
  const valueSize = bytes.readUInt32LE(24);
  const isLeaf = bytes.readUInt32LE(4) === LEAF;
  const keysEnd = HEADER + capacity * KEY;
  if (!isNode || keysEnd + capacity * (isLeaf ? valueSize : KEY) > METADATA_BLOCK || capacity === 0) {
    out.literal(bytes);
    return out.bytes;
  }
  out.literal(bytes.subarray(0, HEADER));
  out.numbers(numbersIn(bytes.subarray(HEADER, keysEnd)));
  const isMapping = isLeaf && valueSize === KEY;
  const valuesEnd = isLeaf && !isMapping ? keysEnd : keysEnd + capacity * KEY;
  const values = numbersIn(bytes.subarray(keysEnd, valuesEnd));
  if (isMapping) out.shifted(values);
  else if (!isLeaf) out.numbers(values);
  if (valuesEnd < METADATA_BLOCK) out.literal(bytes.subarray(valuesEnd));
  return out.bytes;
}

/** What packed blocks are read from, one behind the other. */
export class PackedBytes {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next byte, which stays. @throws ThinError damaged */
  get next(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw spoilt('it ends within a block');
    return byte;
  }

  /** @throws ThinError damaged */
  take(count: number): Buffer {
    if (this.#at + count > this.#bytes.length) throw spoilt('it ends within a block');
    return this.#bytes.subarray(this.#at, (this.#at += count));
  }

  /** A number of 1, 2, 4 or 8 bytes. @throws ThinError damaged */
  number(width: number): bigint {
    const bytes = this.take(width);
    switch (width) {
      case 1:
        return BigInt(bytes.readUInt8());
      case 2:
        return BigInt(bytes.readUInt16LE());
      case 4:
        return BigInt(bytes.readUInt32LE());
      case 8:
        return bytes.readBigUInt64LE();
      default:
        throw spoilt(`a number has ${width} bytes`);
    }
  }
}

/** @throws ThinError damaged */
export function unpackBlock(from: PackedBytes): Buffer {
  const machine = new Machine(from, METADATA_BLOCK);
  return machine.run();
}

class Machine {
  readonly #from: PackedBytes;
  readonly #out: Buffer;
  readonly #depth: number;
  #at = 0;
  #base: bigint;

  constructor(from: PackedBytes, bytes: number, base = 0n, depth = 0) {
    if (depth > MAX_DEPTH) throw spoilt('its instructions are inside one another without end');
    this.#from = from;
    this.#out = Buffer.alloc(bytes);
    this.#base = base;
    this.#depth = depth;
  }

  get base(): bigint {
    return this.#base;
  }

  run(): Buffer {
    while (this.#at < this.#out.length) this.#step(1);
    return this.#out;
  }

  #step(count: number): void {
    const byte = this.#from.take(1).readUInt8();
    const low = byte & 0xf;
    switch (byte >>> 4) {
      case SET:
        this.#base = this.#from.number(low);
        this.#emit(count, 0n);
        return;
      case POS:
        this.#emit(count, BigInt(low));
        return;
      case POS_WIDE:
        this.#emit(count, this.#from.number(low));
        return;
      case NEG:
        this.#emit(count, -BigInt(low));
        return;
      case NEG_WIDE:
        this.#emit(count, -this.#from.number(low));
        return;
      case CONST:
        this.#emit(low, 0n);
        return;
      case CONST_LONG:
        this.#emit(this.#long(low), 0n);
        return;
      case COUNT:
        this.#again(low);
        return;
      case COUNT_LONG:
        this.#again(this.#long(low));
        return;
      case LITERAL:
        this.#copy(this.#from.take(low));
        return;
      case LITERAL_WIDE:
        this.#copy(this.#from.take(Number(this.#from.number(low))));
        return;
      case SHIFTED:
        this.#shifted(this.#long(low));
        return;
      default:
        throw spoilt(`it has an instruction ${byte >>> 4}`);
    }
  }

  /** What is done again is a step, and no number of times once more. */
  #again(count: number): void {
    const kind = this.#from.next >>> 4;
    if (count === 0 || kind > NEG_WIDE) throw spoilt('what is done again is no step');
    this.#step(count);
  }

  #long(high: number): number {
    return high * 256 + this.#from.take(1).readUInt8();
  }

  #emit(count: number, delta: bigint): void {
    for (let index = 0; index < count; index++) {
      this.#base = BigInt.asUintN(64, this.#base + delta);
      this.#requireRoom(KEY);
      this.#out.writeBigUInt64LE(this.#base, this.#at);
      this.#at += KEY;
    }
  }

  #copy(bytes: Buffer): void {
    this.#requireRoom(bytes.length);
    bytes.copy(this.#out, this.#at);
    this.#at += bytes.length;
  }

  /** Data blocks, and then times, of mappings. */
  #shifted(length: number): void {
    this.#requireRoom(length * KEY);
    const [high, low] = [this.#numbers(length), this.#numbers(length)];
    for (let index = 0; index < length; index++) {
      const value =
        (high.readBigUInt64LE(index * KEY) << TIME_BITS) | (low.readBigUInt64LE(index * KEY) & TIME_MASK);
      this.#out.writeBigUInt64LE(BigInt.asUintN(64, value), this.#at);
      this.#at += KEY;
    }
  }

  #numbers(length: number): Buffer {
    const inner = new Machine(this.#from, length * KEY, this.#base, this.#depth + 1);
    const bytes = inner.run();
    this.#base = inner.base;
    return bytes;
  }

  #requireRoom(bytes: number): void {
    if (this.#at + bytes > this.#out.length) throw spoilt('it has more than a block holds');
  }
}

class Writer {
  readonly #parts: Buffer[] = [];

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  literal(bytes: Buffer): void {
    if (bytes.length < 16) this.#tag(LITERAL, bytes.length);
    else this.#wide(LITERAL_WIDE, BigInt(bytes.length));
    this.#parts.push(Buffer.from(bytes));
  }

  /** The first one, and then runs of equal steps. */
  numbers(values: readonly bigint[]): void {
    const [first] = values;
    if (first === undefined) return;
    this.#wide(SET, first);
    for (let at = 1; at < values.length;) {
      const step = stepTo(values, at);
      let count = 1;
      while (at + count < values.length && stepTo(values, at + count) === step) count++;
      this.#run(step, count);
      at += count;
    }
  }

  shifted(values: readonly bigint[]): void {
    this.#long(SHIFTED, values.length);
    this.numbers(values.map((value) => value >> TIME_BITS));
    this.numbers(values.map((value) => value & TIME_MASK));
  }

  #run(step: bigint, count: number): void {
    if (step === 0n) {
      if (count < 16) this.#tag(CONST, count);
      else this.#long(CONST_LONG, count);
      return;
    }
    if (count >= 16) this.#long(COUNT_LONG, count);
    else if (count > 1) this.#tag(COUNT, count);
    const size = step < 0n ? -step : step;
    if (size < 16n) this.#tag(step < 0n ? NEG : POS, Number(size));
    else this.#wide(step < 0n ? NEG_WIDE : POS_WIDE, size);
  }

  #tag(kind: number, low: number): void {
    this.#parts.push(Buffer.from([(kind << 4) | low]));
  }

  #long(kind: number, count: number): void {
    this.#tag(kind, count >>> 8);
    this.#parts.push(Buffer.from([count & 0xff]));
  }

  #wide(kind: number, value: bigint): void {
    const width = value < 1n << 8n ? 1 : value < 1n << 16n ? 2 : value < 1n << 32n ? 4 : 8;
    this.#tag(kind, width);
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    this.#parts.push(bytes.subarray(0, width));
  }
}

function stepTo(values: readonly bigint[], at: number): bigint {
  return values[at]! - values[at - 1]!;
}

function numbersIn(bytes: Buffer): readonly bigint[] {
  return Array.from({ length: bytes.length / KEY }, (_, index) => bytes.readBigUInt64LE(index * KEY));
}

export function spoilt(problem: string): ThinError {
  return new ThinError('damaged', `the pack is damaged: ${problem}`);
}

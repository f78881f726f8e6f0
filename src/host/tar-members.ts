import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { PassThrough } from 'node:stream';

const BLOCK = 512;
/** Longer names are no names, and would be kept in memory. */
const MAX_RECORD = 2 ** 20;

/** A member of a tar as its headers have it (pax, GNU and ustar; tar(5)). */
export interface TarMember {
  readonly name: string;
  readonly isLink: boolean;
  /** Bytes of content once it is unpacked; of a sparse member, with its holes. */
  readonly size: number;
  /** Bytes of content in the tar. */
  readonly stored: number;
}

/**
 * The members of a tar that is plain or gzipped, in order, until something in it is no header. Contents are
 * passed over.
 */
export async function* tarMembers(file: string, gzipped: boolean): AsyncGenerator<TarMember> {
  const source = createReadStream(file, { highWaterMark: 2 ** 20 });
  const stream = new PassThrough({ highWaterMark: 2 ** 20 });
  const fed = gzipped ? pipeline(source, createGunzip(), stream) : pipeline(source, stream);
  // The tool that unpacks such a file has a better message.
  fed.catch(() => undefined);
  try {
    yield* members(new Blocks(stream as AsyncIterable<Buffer>));
  } catch {
    return;
  } finally {
    source.destroy();
    stream.destroy();
  }
}

async function* members(blocks: Blocks): AsyncGenerator<TarMember> {
  let pax = new Map<string, string>();
  for (;;) {
    const header = await blocks.take(BLOCK);
    if (header === undefined) return;
    if (header.every((byte) => byte === 0)) continue;
    const type = String.fromCharCode(header[156] ?? 0);
    const stored = Number(pax.get('size') ?? numberAt(header, 124, 12));
    if (!Number.isSafeInteger(stored) || stored < 0) return;
    if ('xLK'.includes(type)) {
      if (stored > MAX_RECORD) return;
      const body = (await blocks.take(padded(stored)))?.subarray(0, stored).toString('utf8') ?? '';
      if (type === 'x') pax = new Map([...pax, ...paxRecords(body)]);
      else if (type === 'L') pax.set('path', body.replace(/\0.*$/s, ''));
      continue;
    }
    if (type === 'g') {
      if (!(await blocks.skip(padded(stored)))) return;
      continue;
    }
    let size = Number(pax.get('GNU.sparse.realsize') ?? pax.get('GNU.sparse.size') ?? stored);
    if (type === 'S') {
      size = numberAt(header, 483, 12);
      for (let more = header[482] === 1; more;) more = (await blocks.take(BLOCK))?.[504] === 1;
    }
    yield {
      name: pax.get('GNU.sparse.name') ?? pax.get('path') ?? nameOf(header),
      isLink: type === '2',
      size,
      stored,
    };
    if (!(await blocks.skip('12346'.includes(type) ? 0 : padded(stored)))) return;
    pax = new Map();
  }
}

function nameOf(header: Buffer): string {
  const name = textAt(header, 0, 100);
  const isPosix = header.subarray(257, 263).toString('latin1') === 'ustar\0';
  const prefix = isPosix ? textAt(header, 345, 155) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function textAt(header: Buffer, at: number, length: number): string {
  return header
    .subarray(at, at + length)
    .toString('utf8')
    .replace(/\0.*$/s, '');
}

/** Octal digits or, where the first bit is set, a binary number. */
function numberAt(header: Buffer, at: number, length: number): number {
  const field = header.subarray(at, at + length);
  if (((field[0] ?? 0) & 0x80) === 0) return Number.parseInt(field.toString('latin1').trim() || '0', 8) || 0;
  return field.subarray(1).reduce((number, byte) => number * 256 + byte, (field[0] ?? 0) & 0x7f);
}

/** record := LENGTH " " KEY "=" VALUE "\n" */
function* paxRecords(body: string): Generator<[string, string]> {
  const bytes = Buffer.from(body);
  for (let at = 0; at < bytes.length;) {
    const length = Number.parseInt(bytes.subarray(at, at + 20).toString('latin1'), 10);
    if (!(length > 0)) return;
    const record = bytes.subarray(at, at + length - 1).toString('utf8');
    const [, key, value] = /^\d+ ([^=]+)=(.*)$/s.exec(record) ?? [];
    if (key !== undefined && value !== undefined) yield [key, value];
    at += length;
  }
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

/** A stream of bytes, taken piece by piece. */
class Blocks {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Undefined at the end. */
  async take(length: number): Promise<Buffer | undefined> {
    while (this.#rest.length < length) {
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#rest = Buffer.concat([this.#rest, next.value]);
    }
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }

  /** False at the end. */
  async skip(length: number): Promise<boolean> {
    let left = length;
    while (this.#rest.length < left) {
      left -= this.#rest.length;
      const next = await this.#source.next();
      if (next.done === true) return false;
      this.#rest = next.value;
    }
    this.#rest = this.#rest.subarray(left);
    return true;
  }
}

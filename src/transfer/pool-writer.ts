import type { FileHandle } from 'node:fs/promises';
import type { DeviceStatus } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import type { MappingRun } from '../metadata/mapping-runs.js';
import type { PoolInfo } from '../pool/info.js';
import { dumpedSuperblock } from '../thin-tools/dump.js';
import { DUMP_WORDS, runLine } from '../thin-tools/dump-words.js';
import { ChunkSet } from './chunk-set.js';
import { copyPieces, pieces, type MappedRun } from './copy-pieces.js';
import { writeAll } from './output-file.js';
import type { StillDevice } from './still-device.js';

/**
 * The superblock's place in the XML, written last: only then is it known how far the pool's clock has come.
 */
const HEAD_BYTES = 512;
/** Text written at a time. */
const TEXT_BYTES = 256 * 1024;
const WORDS = DUMP_WORDS.xml;

/** What of a device that is held still is written. */
type Readable = Pick<StillDevice, 'device' | 'runs' | 'read'>;

export interface PoolWriterParts {
  readonly data: FileHandle;
  /** Bytes of `data` before the first chunk. */
  readonly dataBegin: number;
  readonly xml: FileHandle;
  readonly onBytes: (bytes: number) => void;
  readonly signal: AbortSignal | undefined;
}

/**
 * Writes a pool as dm-thin has it: each chunk once, at its place in the data, and the mappings as XML for
 * thin_restore.
 */
export class PoolWriter {
  readonly #blockSize: number;
  readonly #parts: PoolWriterParts;
  readonly #written: ChunkSet;
  #text = '';
  #end = HEAD_BYTES;
  #mappings = 0;

  constructor({ blockSize, dataTotal }: Pick<PoolInfo, 'blockSize' | 'dataTotal'>, parts: PoolWriterParts) {
    this.#blockSize = blockSize;
    this.#parts = parts;
    this.#written = new ChunkSet(dataTotal / blockSize);
  }

  /** Of all devices so far, those that are shared counted for each. */
  get mappings(): number {
    return this.#mappings;
  }

  /**
   * The next device, ascending by id. `held`: what stands for it, whose mappings count as shared from its
   * snapshot on. Errors: damaged, io, no-space, closed.
   */
  async device(still: Readable, held: DeviceStatus): Promise<void> {
    const { id, transactionId: transaction, creationTime, name } = still.device;
    const mapped = held.mapped / this.#blockSize;
    this.#text += WORDS.beginDevice({ id, mapped, transaction, creationTime, snapTime: held.snapTime });
    const before = this.#mappings;
    await copyPieces(pieces(this.#fresh(still), this.#blockSize, Infinity), {
      read: (offset, into) => still.read(offset, into),
      write: (offset, from) => writeAll(this.#parts.data, this.#parts.dataBegin + offset, from),
      onBytes: this.#parts.onBytes,
      signal: this.#parts.signal,
    });
    if (this.#mappings - before !== mapped)
      throw new ThinError(
        'damaged',
        `device ${name} maps ${this.#mappings - before} blocks, and its record says ${mapped}; run thinfuse check, or thinfuse repair`,
        { details: { device: name } },
      );
    this.#text += WORDS.endDevice;
  }

  /** `info`: of the pool after the last device was held still. */
  async end(info: PoolInfo): Promise<void> {
    this.#text += WORDS.end;
    await this.#flush();
    const { time, transactionId, blockSize } = info;
    const chunks = info.dataTotal / blockSize;
    const superblock = { time, transactionId, blockSize, chunks, needsCheck: false };
    const head = WORDS.begin(dumpedSuperblock(superblock));
    await writeAll(this.#parts.xml, 0, Buffer.from(head.trimEnd().padEnd(HEAD_BYTES - 1) + '\n'));
  }

  /**
   * Tells every mapping, and hands on those of chunks that are not written yet: their place in the device is
   * where they are read.
   */
  async *#fresh(still: Readable): AsyncGenerator<MappedRun> {
    for await (const run of still.runs()) {
      this.#mappings += run.length;
      this.#text += runLine(WORDS, run);
      if (this.#text.length >= TEXT_BYTES) await this.#flush();
      yield* this.#unwritten(run);
    }
  }

  *#unwritten({ begin, chunk, length }: MappingRun): Generator<MappedRun> {
    let run: { begin: number; data: number; length: number } | undefined;
    for (let index = 0; index < length; index++) {
      if (!this.#written.add(chunk + index)) {
        if (run !== undefined) yield run;
        run = undefined;
      } else if (run === undefined) run = { begin: chunk + index, data: begin + index, length: 1 };
      else run.length++;
    }
    if (run !== undefined) yield run;
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.from(this.#text);
    this.#text = '';
    await writeAll(this.#parts.xml, this.#end, bytes);
    this.#end += bytes.length;
  }
}

import { fdatasyncSync, writeSync } from 'node:fs';
import {
  LOG_LINE,
  LogKind,
  logRecordSize,
  NO_FIELDS,
  packLine,
  packRecord,
  placeRecord,
  syncedFields,
  type LogFields,
} from '../format/log-record.js';
import { LogWords, type LogMemory } from './log-memory.js';

/**
 * Bytes of which a process that is killed in the middle of a write leaves all or none, at a multiple of them.
 */
const PAGE = 4096;
/** Bytes of the longest payload; longer data is several records. */
const MOST_PAYLOAD = 256 * 1024;
/** Of a record of kind SYNCED, with what a skip to the ring's beginning may take. */
const SYNCED_LINES = 4;

export interface LogData {
  readonly from: Uint8Array;
  readonly at: number;
  readonly length: number;
}

const NOTHING: LogData = { from: new Uint8Array(0), at: 0, length: 0 };

/**
 * Lines that a request of so many bytes on so many chunks may take. Each record may have to skip as much as
 * it takes at the end of the ring.
 * @param bytes that are written down; 0 where data goes elsewhere
 */
export function linesFor(bytes: number, chunks: number): number {
  return 2 * (Math.ceil(bytes / LOG_LINE) + 4 * (chunks + Math.ceil(bytes / MOST_PAYLOAD)));
}

/**
 * Writes down what was done and not committed, before it is answered, so that a process that follows on this
 * one's sudden death finds it, and so that an fsync waits for this file alone. One a thread; all write to one
 * file. The caller is inside a request's epoch, or is the pool thread, and has reserved what it writes.
 */
export class LogWriter {
  readonly #log: LogWords;
  readonly #scratch: Buffer;

  constructor(memory: LogMemory) {
    this.#log = new LogWords(memory);
    this.#scratch = Buffer.allocUnsafeSlow(logRecordSize(MOST_PAYLOAD) + LOG_LINE);
  }

  get isOn(): boolean {
    return this.#log.isOn;
  }

  /** True also where nothing is written down. The caller releases as much. */
  reserve(lines: number): boolean {
    return this.#log.reserve(lines);
  }

  release(lines: number): void {
    this.#log.release(lines);
  }

  map(device: number, block: number, chunk: number, run: number): void {
    this.#write({ ...NO_FIELDS, kind: LogKind.MAP, device, block, chunk, run });
  }

  mapPartial(device: number, block: number, chunk: number, origin: number, pages: number): void {
    this.#write({ ...NO_FIELDS, kind: LogKind.MAP_PARTIAL, device, block, chunk, origin, pages });
  }

  /** @param origin undefined: the rest of the chunk holds zeroes */
  mapWith(
    device: number,
    block: number,
    chunk: number,
    origin: number | undefined,
    { within, from, at, length }: LogData & { readonly within: number },
  ): void {
    const kind = origin === undefined ? LogKind.PROVISION : LogKind.COPY;
    const first = Math.min(length, MOST_PAYLOAD);
    const fields = { ...NO_FIELDS, kind, device, block, chunk, origin: origin ?? 0, within };
    this.#write(fields, { from, at, length: first });
    if (first < length) this.data(chunk, within + first, from, at + first, length - first);
  }

  unmap(device: number, block: number): void {
    this.#write({ ...NO_FIELDS, kind: LogKind.UNMAP, device, block });
  }

  data(chunk: number, within: number, from: Uint8Array, at: number, length: number): void {
    for (let done = 0; done < length; done += MOST_PAYLOAD)
      this.#write(
        { ...NO_FIELDS, kind: LogKind.DATA, chunk, within: within + done },
        { from, at: at + done, length: Math.min(MOST_PAYLOAD, length - done) },
      );
  }

  fetched(chunk: number): void {
    this.#write({ ...NO_FIELDS, kind: LogKind.FETCHED, chunk });
  }

  pages(chunk: number, pages: number): void {
    this.#write({ ...NO_FIELDS, kind: LogKind.PAGES, chunk, pages });
  }

  /** What happened to a device. False: it is not written down, and only the store can have it. */
  device(fields: Pick<LogFields, 'kind' | 'device' | 'origin' | 'run'>, payload: Uint8Array): boolean {
    if (!this.isOn || payload.length > MOST_PAYLOAD) return false;
    const lines = linesFor(payload.length, 1);
    if (!this.reserve(lines)) return false;
    this.#write({ ...NO_FIELDS, ...fields }, { from: payload, at: 0, length: payload.length });
    this.release(lines);
    return this.isOn;
  }

  /**
   * Records, before the log is synced, that all data before the position is on the disk. False: not recorded.
   */
  syncedData(position: number): boolean {
    if (this.#log.dataSynced >= position) return this.isOn;
    if (!this.reserve(SYNCED_LINES)) return false;
    this.#write(syncedFields(position));
    this.release(SYNCED_LINES);
    return this.isOn;
  }

  /** See `LogWords.dataHead`. */
  get dataHead(): number {
    return this.#log.dataHead;
  }

  /**
   * Whether everything before the position may be needed of the data file, and was not said to be on its
   * disk.
   */
  needsSyncedData(position: number): boolean {
    return this.#log.dataSynced < position;
  }

  /**
   * Waits until everything that was written down before is on the disk. False: it is not, and only the store
   * can make it durable.
   */
  sync(): boolean {
    if (!this.isOn) return false;
    const head = this.#log.head;
    if (this.awaitSync(head)) return true;
    // The failure stands before followers wake: the kernel would tell them of none.
    const { underWay } = this.#log;
    underWay.lead(head, () => {
      underWay.run(() => {
        try {
          fdatasyncSync(this.#log.memory.fd);
        } catch (error) {
          this.#log.fail(error);
        }
      });
      if (this.isOn) this.#log.noteSynced(head);
    });
    return this.isOn;
  }

  /**
   * Whether what stands before the position is on the disk; waits for a sync of another thread that puts it
   * there.
   * @param patience the most to wait, in milliseconds
   */
  awaitSync(position = this.#log.head, patience?: number): boolean {
    if (this.#log.synced < position) this.#log.underWay.follow(position, patience);
    return this.#log.synced >= position && this.isOn;
  }

  /** The data of everything before the position is on its disk, and the log that says so too. */
  noteDataSynced(position: number): void {
    this.#log.noteDataSynced(position);
  }

  /** Never throws: what cannot be written makes the log one that counts for nothing more. */
  #write(fields: LogFields, payload: LogData = NOTHING): void {
    if (!this.isOn) return;
    const { salt } = this.#log;
    const checksum = packRecord(this.#scratch, fields, payload, salt);
    const length = logRecordSize(payload.length);
    try {
      this.#log.append(fields.kind !== LogKind.SYNCED, (head) => this.#append(head, length, checksum));
    } catch (error) {
      this.#log.fail(error);
    }
  }

  #append(head: number, length: number, checksum: number): number {
    const { ring } = this.#log.memory;
    const { salt, synced } = this.#log;
    const at = head % ring;
    // The END behind it is not to cross the ring's end either.
    const skip = ring - at < length + LOG_LINE ? ring - at : 0;
    const position = head + skip;
    placeRecord(this.#scratch, position, synced, checksum);
    const end = this.#scratch.subarray(length, length + LOG_LINE);
    packLine(end, { ...NO_FIELDS, kind: LogKind.END }, { position: position + length, synced }, salt);
    const place = position % ring;
    if (skip > 0) {
      this.#put(0, length + LOG_LINE, place);
      packLine(
        this.#scratch,
        { ...NO_FIELDS, kind: LogKind.SKIP },
        { position: head, synced, length: skip },
        salt,
      );
      this.#put(0, LOG_LINE, at);
    } else if ((place % PAGE) + length + LOG_LINE <= PAGE) this.#put(0, length + LOG_LINE, place);
    else {
      this.#put(LOG_LINE, length + LOG_LINE, place + LOG_LINE);
      this.#put(0, LOG_LINE, place);
    }
    return position + length;
  }

  /** Of what was packed, to the ring from byte `place` on. */
  #put(from: number, until: number, place: number): void {
    const { fd, start } = this.#log.memory;
    for (let done = from; done < until;)
      done += writeSync(fd, this.#scratch, done, until - done, start + place + done - from);
  }
}

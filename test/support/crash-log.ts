import { open } from 'node:fs/promises';
import { MARK_BYTES, type CommitNumber } from '../../src/format/commit-number.js';
import { LOG_HEAD_BYTES, packLogHead, unpackLogHead } from '../../src/format/log-state.js';
import { readSlots, type ReadMark } from '../../src/store/commit-mark.js';
import type { LogFiles, LogHandle, OpenLogFile } from '../../src/store/log-file.js';
import { CrashFile } from './crash-file.js';

export interface LogContents {
  readonly log: Buffer;
  readonly mark: Buffer;
}

type Machine = ConstructorParameters<typeof CrashFile>[2];

/** A pool's log on a machine that can lose its power. */
export class CrashLog implements LogFiles {
  readonly #path: string;
  readonly #place: string;
  readonly #machine: Machine;
  #contents: LogContents | undefined;
  #log: CrashFile | undefined;
  #mark: CrashFile | undefined;

  /**
   * @param at the path of its files, less their endings
   * @param place the machine and how often it was started
   */
  constructor(at: string, place: string, machine: Machine, contents?: LogContents) {
    this.#path = at;
    this.#place = place;
    this.#machine = machine;
    this.#contents = contents;
  }

  get file(): CrashFile {
    if (this.#log === undefined) throw new Error('the log was not opened');
    return this.#log;
  }

  make(_folder: string, pool: string, ring: number): Promise<void> {
    const log = Buffer.alloc(LOG_HEAD_BYTES + ring);
    log.set(packLogHead({ pool, id: `log-${this.#place}`, ring }));
    this.#contents = { log, mark: Buffer.alloc(MARK_BYTES) };
    return Promise.resolve();
  }

  open(): Promise<OpenLogFile | undefined> {
    if (this.#contents === undefined) return Promise.resolve(undefined);
    const { log, mark } = this.#contents;
    const head = unpackLogHead(log.subarray(0, LOG_HEAD_BYTES), this.#path);
    this.#log ??= new CrashFile(`${this.#path}-log`, Buffer.from(log), this.#machine);
    this.#mark ??= new CrashFile(`${this.#path}-mark`, Buffer.from(mark), this.#machine);
    const place = this.#place;
    return Promise.resolve({ head, handle: this.#handle('log'), mark: this.#handle('mark'), place });
  }

  async readMark(_folder: string, counts: (slot: CommitNumber) => boolean): Promise<ReadMark> {
    return readSlots(`${this.#path}-mark`, counts);
  }

  /** What the next start finds. */
  crash(seed: number): LogContents {
    return { log: this.file.crash(seed), mark: this.#mark!.crash(seed + 1) };
  }

  /** What a process that dies leaves. */
  left(): LogContents {
    return { log: this.file.current(), mark: this.#mark!.current() };
  }

  async remove(): Promise<void> {
    await this.#log?.remove();
    await this.#mark?.remove();
  }

  #handle(which: 'log' | 'mark'): LogHandle {
    const { handle } = which === 'log' ? this.#log! : this.#mark!;
    const at = `${this.#path}-${which}`;
    const read = (async (into: Buffer, offset: number, length: number, position: number) => {
      const file = await open(at, 'r');
      try {
        return await file.read(into, offset, length, position);
      } finally {
        await file.close();
      }
    }) as LogHandle['read'];
    return { ...handle, read };
  }
}

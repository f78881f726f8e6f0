import { writeSync } from 'node:fs';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';
import { describeKey, logKey } from '../format/keys.js';
import {
  isDeviceChange,
  LOG_LINE,
  LogKind,
  NO_FIELDS,
  packLine,
  type LogRecord,
} from '../format/log-record.js';
import { LOG_HEAD_BYTES, packLogState, unpackLogState, type LogState } from '../format/log-state.js';
import { RECORD_VERSION } from '../format/seal.js';
import type { KeyValue, KvOperation, KvReader } from './key-value.js';
import { LOG_FILE, logFiles, type LogFiles, type LogHandle, type OpenLogFile } from './log-file.js';
import { logMemory, logName, LogWords, type LogMemory } from './log-memory.js';
import { LogWriter } from './log-writer.js';
import { readLog, type ReadLog } from './read-log.js';

/** How full the log is when the store should take over what it has. */
const LONG = 0.25;

export interface LogRequest {
  /** Of the pool. */
  readonly uuid: string;
  readonly isDirect: boolean;
  /** Bytes of a log that is made; a multiple of 4096. */
  readonly ring: number;
  /** A process follows below mounts that go on: it needs everything that was answered. */
  readonly follows?: boolean;
  readonly onNote: (text: string) => void;
  readonly files?: LogFiles;
}

type Step = 'left' | 'closed' | 'open';

/**
 * The log of a pool, as the pool thread looks after it: what is answered stands here before, an fsync waits
 * for this file alone, and a commit takes over what stands here into the store. See docs/on-disk-format.md,
 * "The log".
 */
export class PoolLog {
  readonly memory: LogMemory;
  /** The pool thread's. */
  readonly writer: LogWriter;
  readonly #words: LogWords;
  readonly #file: OpenLogFile | undefined;
  readonly #id: string;
  readonly #epoch: number;
  readonly #place: string;
  /** What the store says of what is left. */
  readonly #before: LogState | undefined;
  #left: readonly LogRecord[];
  #redone = 0;
  /** The log's state in the store: unchanged so far, nothing counts, or the position from which it counts. */
  #step: Step = 'left';
  #tail = 0;
  #hasNewerRecords = false;
  #syncing: Promise<void> | undefined;
  #markTimer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(
    file: OpenLogFile | undefined,
    state: { id: string; epoch: number; before: LogState | undefined },
    left: readonly LogRecord[],
  ) {
    this.#file = file;
    this.#before = state.before;
    this.#id = state.id;
    this.#epoch = state.epoch;
    this.#place = file?.place ?? '';
    this.#left = left;
    this.memory = logMemory({
      id: state.id,
      epoch: state.epoch,
      fd: file?.handle.fd ?? -1,
      markFd: file?.mark?.fd ?? -1,
      ring: file?.head.ring ?? 0,
      start: LOG_HEAD_BYTES,
    });
    this.#words = new LogWords(this.memory);
    this.writer = new LogWriter(this.memory);
  }

  /**
   * The log of the pool whose store is open in a folder: makes one where the pool has none so far, or does
   * without where there is no room.
   * @throws ThinError damaged (it lacks what was synced, or what was answered and somebody needs),
   *   wrong-version, io
   */
  static async open(folder: string, store: KvReader, request: LogRequest): Promise<PoolLog> {
    const state = readLogState(store);
    const { file, left } = await openLeft(folder, state, request);
    // No record of a later epoch, which an older store does not know of, may pass for one of this.
    const later = state === undefined ? undefined : await laterEpoch(folder, state, request);
    const epoch = (later ?? state?.epoch ?? 0) + 1;
    try {
      const usable = file ?? (await madeFile(folder, request));
      return new PoolLog(usable, { id: usable?.head.id ?? '', epoch, before: state }, left);
    } catch (error) {
      await file?.handle.close();
      await file?.mark?.close();
      throw error;
    }
  }

  /** The records to replay, and to make durable in the store, before anything else. */
  get left(): readonly LogRecord[] {
    return this.#left;
  }

  /** Of what is left, the change of a device was done again: commits from now on have it. */
  noteRedone({ position }: LogRecord): void {
    this.#redone = position + 1;
  }

  /** All of `left` was done again: the next commit has it. */
  release(): void {
    this.#left = [];
  }

  /** From now on what is answered is written down. The store has everything that was left. */
  async begin(store: KeyValue): Promise<void> {
    this.#step = 'closed';
    if (this.#file === undefined) {
      this.#words.phase = 'broken';
      await store.batch([this.#stateAt(0)], { sync: true });
      return;
    }
    // In this order: the first record may stand where an older epoch has what still counts, and must be there
    // before the store says so.
    if (readLogState(store)?.closed !== true) await store.batch([this.#stateAt(0)], { sync: true });
    try {
      const end = Buffer.alloc(LOG_LINE);
      packLine(end, { ...NO_FIELDS, kind: LogKind.END }, { position: 0, synced: 0 }, this.#words.salt);
      writeSync(this.#file.handle.fd, end, 0, LOG_LINE, LOG_HEAD_BYTES);
      await this.#file.handle.datasync();
      this.#words.phase = 'on';
    } catch (error) {
      this.#words.fail(error);
    }
    this.#step = 'open';
    await store.batch([this.#stateAt(0)], { sync: true });
    this.#markTimer = setInterval(() => void this.#syncMark(), 1000).unref();
  }

  get isBegun(): boolean {
    return this.#step === 'open' || this.#words.phase === 'broken';
  }

  /** What is synced here is durable. */
  get isOn(): boolean {
    return this.#words.isOn;
  }

  /** All that was answered is durable here. */
  get isSynced(): boolean {
    return this.#words.isOn && this.#words.synced >= this.#words.head;
  }

  /** Something stands here that the store does not have. */
  get isUsed(): boolean {
    return this.used > 0;
  }

  /** Bytes that stand here and that the store does not have. */
  get used(): number {
    return this.#words.isOn ? this.#words.head - this.#tail : 0;
  }

  /** The store should take over what is here. */
  get isLong(): boolean {
    return isLong(this.#words);
  }

  /**
   * A commit begins. What stands before the position that is returned is in it, once the requests in flight
   * have ended.
   */
  get position(): number {
    return this.#words.head;
  }

  /** Changes of devices before it are in what a commit collects now. */
  get changed(): number {
    return this.#step === 'left' ? this.#redone : this.#words.head;
  }

  /**
   * What the commit's batch says of the log: where it began, and `changed` when it was collected. While
   * there is something left, only how far that was done again.
   */
  operations(position: number, changed: number): readonly KvOperation[] {
    if (this.#left.length === 0 && this.#step !== 'left') return [this.#stateAt(position, changed)];
    const before = this.#before;
    if (before === undefined || changed <= before.changed) return [];
    return [{ type: 'put', key: logKey, value: packLogState({ ...before, changed }) }];
  }

  /**
   * A device's record with newer fields is about to be written down. False: the store does not say so yet,
   * and does from the next commit on.
   */
  foreseeNewerRecords(): boolean {
    const did = this.#hasNewerRecords;
    this.#hasNewerRecords = true;
    return did;
  }

  /** That batch is durable. */
  committed(position: number): void {
    if (this.#step !== 'open' || position <= this.#tail) return;
    this.#words.free(position - this.#tail);
    this.#tail = position;
  }

  /**
   * Resolves when everything that was written down before the call is on the disk. False: it is not, and only
   * a commit can make it durable.
   */
  async sync(): Promise<boolean> {
    const head = this.#words.head;
    while (this.#words.isOn && this.#words.synced < head) {
      this.#syncing ??= this.#sync().finally(() => (this.#syncing = undefined));
      await this.#syncing;
    }
    return this.#words.isOn;
  }

  async #sync(): Promise<void> {
    const head = this.#words.head;
    await this.#words.underWay.followInTurns(head);
    if (this.#words.synced >= head || !this.#words.isOn) return;
    await this.#words.underWay.runInTurns(async () => {
      try {
        await this.#file!.handle.datasync();
      } catch (error) {
        this.#words.fail(error);
      }
    });
    if (this.#words.phase === 'on') this.#words.noteSynced(head);
  }

  /** Everything that was answered is in the store. */
  async close(store: KeyValue | undefined): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#markTimer);
    if (store !== undefined && this.#step === 'open' && this.#left.length === 0) {
      this.#step = 'closed';
      // Where it fails, what it has is done again by the next process, and was done.
      await store.batch([this.#stateAt(this.#words.head)], { sync: true }).catch(() => undefined);
    }
    this.#words.phase = 'off';
    await this.#syncing;
    await this.#file?.mark?.close();
    await this.#file?.handle.close();
  }

  #stateAt(position: number, changed = position): KvOperation {
    const state: LogState = {
      id: this.#id,
      epoch: this.#epoch,
      position,
      changed,
      closed: this.#step !== 'open',
      without: this.#words.phase === 'broken',
      accepted: false,
      hasNewerRecords: this.#hasNewerRecords && this.#step === 'open',
      place: this.#place,
    };
    return { type: 'put', key: logKey, value: packLogState(state) };
  }

  async #syncMark(): Promise<void> {
    if (this.#words.takeFreshMark()) await this.#file?.mark?.datasync().catch(() => undefined);
  }
}

/** The store should take over what is in it. */
export function isLong(log: LogWords): boolean {
  return log.isOn && log.fullness >= LONG;
}

/** Undefined: a pool that has had no log so far. @throws ThinError damaged, wrong-version */
export function readLogState(store: KvReader): LogState | undefined {
  const bytes = store.getSync(logKey);
  return bytes === undefined ? undefined : unpackLogState(bytes, describeKey(logKey));
}

/** What can be read of a log that counts. */
export interface SalvagedLog {
  readonly state: LogState;
  readonly records: readonly LogRecord[];
  /** What it lacks, and what to do; its cause says only what. Undefined: nothing, or it was accepted. */
  readonly problem: ThinError | undefined;
}

/**
 * What the log in a folder has that the store does not, however much of it can be read; undefined: nothing.
 * @param request.uuid undefined: the superblock does not tell it
 * @throws ThinError damaged (the state in the store), wrong-version, io
 */
export async function salvageLog(
  folder: string,
  store: KvReader,
  request: Pick<LogRequest, 'isDirect' | 'files'> & { readonly uuid: string | undefined },
): Promise<SalvagedLog | undefined> {
  const state = readLogState(store);
  if (state === undefined) return undefined;
  if ((state.closed || state.without) && (await laterEpoch(folder, state, request)) === undefined)
    return undefined;
  const onNote = (): undefined => undefined;
  const read = async (accepted: boolean): Promise<readonly LogRecord[]> => {
    const { file, left } = await openLeft(folder, { ...state, accepted }, { ...request, onNote });
    if (file !== undefined) await closeFile(file);
    return left;
  };
  try {
    return { state, records: await read(state.accepted), problem: undefined };
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    return { state, records: await read(true), problem: error };
  }
}

/** The operation by which a pool is taken without what its log lacks. */
export function acceptLog(state: LogState): KvOperation {
  return { type: 'put', key: logKey, value: packLogState({ ...state, accepted: true }) };
}

/** The operation by which a pool is taken without its log. */
export function leaveLog(state: LogState): KvOperation {
  return { type: 'put', key: logKey, value: packLogState({ ...state, closed: true, accepted: true }) };
}

interface Left {
  /** Undefined: there is none that could go on. */
  readonly file: OpenLogFile | undefined;
  readonly left: readonly LogRecord[];
}

async function openLeft(
  folder: string,
  state: LogState | undefined,
  {
    uuid,
    isDirect,
    follows = false,
    onNote,
    files = logFiles,
  }: Omit<LogRequest, 'ring' | 'uuid'> & { readonly uuid: string | undefined },
): Promise<Left> {
  const name = path.join(folder, LOG_FILE);
  const counts = state !== undefined && !state.closed && !state.without;
  if (follows && (state === undefined || state.without))
    throw new ThinError(
      'damaged',
      `${name} lacks writes that the last daemon has answered (its disk was full, or failed). The pool has all synced writes, and its mounts have failed: start it again`,
    );
  let file: OpenLogFile | undefined;
  try {
    file = await files.open(folder);
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    if (counts && !state.accepted) throw unusable(error, folder);
    if (state !== undefined) onNote(`${error.message}; nothing of it was needed, and it is made anew`);
    return { file: undefined, left: [] };
  }
  try {
    // Nor does a log go on that the store knows nothing of, as after a restore: its epochs were begun before.
    if (
      file !== undefined &&
      ((uuid !== undefined && file.head.pool !== uuid) || file.head.id !== state?.id)
    ) {
      const foreign =
        uuid === undefined || file.head.pool === uuid
          ? 'is an older one than the pool has'
          : "is another pool's";
      await closeFile(file);
      file = undefined;
      if (counts && !state.accepted) throw unusable(new ThinError('damaged', `${name} ${foreign}`), folder);
      if (state !== undefined) onNote(`${name} ${foreign}; nothing of it was needed, and it is made anew`);
    }
    // Also where nothing counts: the mark is of a log of this pool, and never ahead of the store.
    if (state !== undefined && !state.accepted && (await laterEpoch(folder, state, { files })) !== undefined)
      throw unusable(
        new ThinError('damaged', `the store of ${folder} is an older copy than its log, ${name}`),
        folder,
      );
    if (state === undefined || !counts) return { file, left: [] };
    if (file === undefined) {
      if (state.accepted) return { file, left: [] };
      throw unusable(new ThinError('damaged', `${name} is missing`), folder);
    }
    const { records, problem } = await readFrom(folder, file, state, { isDirect, files });
    if (problem !== undefined && !state.accepted) throw unusable(problem, folder);
    const isNew = ({ kind, position }: LogRecord): boolean =>
      position >= state.changed || !isDeviceChange(kind);
    const left = records.filter(isNew);
    requireKnown(left, name);
    return { file, left };
  } catch (error) {
    if (file !== undefined) await closeFile(file);
    throw error;
  }
}

/** @throws ThinError wrong-version */
function requireKnown(records: readonly LogRecord[], name: string): void {
  const newer = records.find(({ kind, run }) => isDeviceChange(kind) && run > RECORD_VERSION);
  if (newer === undefined) return;
  throw new ThinError(
    'wrong-version',
    `${name} has a device's record in format ${newer.run}, and this thinfuse reads up to ${RECORD_VERSION}; use a newer thinfuse`,
    { details: { path: name, version: newer.run } },
  );
}

/** What the log's mark knows of and the store does not; undefined: none. @throws as `readMark` */
async function laterEpoch(
  folder: string,
  { id, epoch }: LogState,
  { files = logFiles }: Pick<LogRequest, 'files'>,
): Promise<number | undefined> {
  const epochOf = (store: string): number =>
    store.startsWith(`${id}/`) ? Number(store.slice(id.length + 1)) : 0;
  let latest = epoch;
  await files.readMark(folder, ({ store }) => {
    latest = Math.max(latest, epochOf(store));
    return false;
  });
  return latest > epoch ? latest : undefined;
}

async function readFrom(
  folder: string,
  file: OpenLogFile,
  state: LogState,
  { isDirect, files }: { readonly isDirect: boolean; readonly files: LogFiles },
): Promise<ReadLog> {
  const ring = Buffer.allocUnsafeSlow(file.head.ring);
  await readAll(file.handle, ring, LOG_HEAD_BYTES);
  const name = logName(state);
  const mark = await files.readMark(folder, ({ store }) => store === name);
  return readLog(ring, {
    id: state.id,
    epoch: state.epoch,
    position: state.position,
    isWhole: file.place === state.place,
    marked: typeof mark === 'object' ? mark.number : undefined,
    isDirect,
    path: path.join(folder, LOG_FILE),
  });
}

async function madeFile(
  folder: string,
  { uuid, ring, onNote, files = logFiles }: LogRequest,
): Promise<OpenLogFile | undefined> {
  try {
    await files.make(folder, uuid, ring);
    return await files.open(folder);
  } catch (error) {
    if (!(error instanceof ThinError)) throw error;
    onNote(`the pool does without its log for now, and each fsync waits for the store: ${error.message}`);
    return undefined;
  }
}

async function closeFile({ handle, mark }: OpenLogFile): Promise<void> {
  await handle.close();
  await mark?.close();
}

async function readAll(handle: LogHandle, into: Buffer, from: number): Promise<void> {
  for (let at = 0; at < into.length;) {
    const { bytesRead } = await handle.read(into, at, into.length - at, from + at);
    if (bytesRead === 0) throw new ThinError('damaged', `${LOG_FILE} ends at byte ${from + at}`);
    at += bytesRead;
  }
}

function unusable(problem: ThinError, folder: string): ThinError {
  return new ThinError(
    'damaged',
    `${problem.message.replace(/; run .*$/, '')}: the pool lacks writes that were synced or answered since its last commit; put the file back, or do without: \`thinfuse repair --accept-older\` takes the readable part`,
    { cause: problem, details: { path: folder } },
  );
}

import { realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Level } from 'level';
import { Pace } from '../async/pace.js';
import { ThinError } from '../errors/thin-error.js';
import type { KeyValue, KvOperation, KvRange, KvReader, KvSnapshot } from './key-value.js';
import { checkLevelFiles } from './level-check.js';
import { damagedFilesApart } from './level-check-apart.js';
import { LevelGuard } from './level-guard.js';
import { DAMAGED_NEXT, fileError, isLocked, isThere, levelError } from './level-errors.js';
import { assertWritable, classifyFolder, makeFolder, syncFolder } from './level-folder.js';
import type { FileDepth } from './level-table-check.js';
import { StructureCheck, type SpoiledTable } from './level-structure.js';
import { findLockHolder, type LockHolder } from './lock-holder.js';

export interface LevelStoreOptions {
  /** Make the store, and the folders above it, where there is none. Default false. */
  readonly createIfMissing?: boolean;
  /** Refuse a store that is there already: `exists`. Default false. */
  readonly errorIfExists?: boolean;
  readonly tuning?: Partial<LevelTuning>;
  /** How much is read of the files of a store that is there before LevelDB opens them. Default: metadata. */
  readonly verify?: FileDepth | undefined;
}

/** Bytes, except `maxOpenFiles` (tables). */
export interface LevelTuning {
  /** The log's length, and the memory that holds the same; twice that while one is being written out. */
  readonly writeBufferSize: number;
  readonly maxFileSize: number;
  readonly cacheSize: number;
  readonly maxOpenFiles: number;
  /** Lets other threads of this process open the same path and share the store. */
  readonly multithreading: boolean;
}

const LEVEL_TUNING: LevelTuning = {
  // 64 KiB values fill the default 4 MiB in 64 writes; each filling is a table and soon a compaction.
  // 64 MiB made random overwrite of chunks three times faster (72 -> 224 MB/s).
  writeBufferSize: 64 * 2 ** 20,
  // As large as a write buffer: a flush is one table, and 1000 tables are 64 GiB.
  maxFileSize: 64 * 2 ** 20,
  // LevelDB maps its first 1000 tables into memory and never caches their blocks: this is for the tables
  // beyond.
  cacheSize: 8 * 2 ** 20,
  maxOpenFiles: 1000,
  multithreading: false,
};

/** `level` is classic-level here, and its types leave out what a browser's does not have. */
type Db = Level<Uint8Array, Uint8Array> & {
  compactRange(start: Uint8Array, end: Uint8Array): Promise<void>;
  approximateSize(start: Uint8Array, end: Uint8Array): Promise<number>;
};
type DbSnapshot = ReturnType<Db['snapshot']>;

/** What LevelDB can do beyond `KeyValue`. */
export interface LevelStore extends KeyValue {
  /** Absolute, without symbolic links. */
  readonly path: string;
  /**
   * Rewrites the tables of a range now, so that overwritten and deleted values give their space back to the
   * disk.
   */
  compact(range: KvRange): Promise<void>;
  /** Of its tables: what its log alone holds, up to a write buffer, does not count. */
  sizeOf(range: KvRange): Promise<number>;
  damagedFiles(): AsyncIterable<ThinError>;
  watchFiles(onDamage: (error: ThinError) => void): void;
}

/**
 * Opens, or makes, the LevelDB store in a folder. LevelDB touches the folder only after all that can be
 * checked was. Leaves nothing behind where making it fails.
 * @throws ThinError no-pool, exists, not-empty, locked (naming the holder where /proc tells), damaged,
 *   no-space, permission, read-only, io; each names the path
 */
export async function openLevelStore(path: string, options: LevelStoreOptions = {}): Promise<LevelStore> {
  const folder = await classifyFolder(path);
  const details = { path };
  if (folder === 'foreign')
    throw new ThinError(
      'not-empty',
      `${path} holds files that are not a store's: give an empty or a new folder`,
      {
        details,
      },
    );
  if (folder === 'headless')
    throw new ThinError('damaged', `the store ${path} has lost its file CURRENT; ${DAMAGED_NEXT}`, {
      details,
    });
  if (folder === 'store') {
    if (options.errorIfExists === true)
      throw new ThinError('exists', `there is a store in ${path} already: open it, or give another path`, {
        details,
      });
    return openExisting(path, options);
  }
  if (options.createIfMissing !== true)
    throw new ThinError(
      'no-pool',
      `there is no store in ${path}: check the path, or make one with \`thinfuse init\``,
      {
        details,
      },
    );
  return create(path, options);
}

async function openExisting(path: string, options: LevelStoreOptions): Promise<LevelStore> {
  const real = await realpath(path);
  await assertWritable(real);
  return openDatabase(real, options, false);
}

async function create(path: string, options: LevelStoreOptions): Promise<LevelStore> {
  const takeBack = await makeFolder(resolve(path));
  let store: LevelStore | undefined;
  try {
    const real = await realpath(path);
    await assertWritable(real);
    store = await openDatabase(real, options, true);
    await syncFolder(real);
    return store;
  } catch (error) {
    // A store that another process has just made in the same place is not ours to remove.
    if (error instanceof ThinError && error.code === 'locked') throw error;
    if (isThere(error)) return openLevelStore(path, options);
    await store?.close();
    await takeBack();
    throw fileError(path, error);
  }
}

/**
 * Stores that this thread has open. LevelDB refuses a second opening too, but closes its file LOCK while
 * doing so, which drops the lock of the first (fcntl(2)): from then on another process could open the store
 * as well.
 */
const openHere = new Set<string>();

async function openDatabase(path: string, options: LevelStoreOptions, create: boolean): Promise<LevelStore> {
  const tuning = { ...LEVEL_TUNING, ...options.tuning };
  if (!tuning.multithreading) {
    if (openHere.has(path)) throw lockedError(path, { pid: process.pid, command: process.title });
    openHere.add(path);
  }
  try {
    if (!create) await checkUnlessLocked(path, options.verify ?? 'metadata');
    const db = new Level<Uint8Array, Uint8Array>(path, {
      keyEncoding: 'view',
      valueEncoding: 'view',
      createIfMissing: create,
      errorIfExists: create,
      // Chunks are file data, mostly compressed or incompressible already, and a table's block is one chunk.
      compression: false,
      ...tuning,
    }) as Db;
    await db.open();
    const guard = await LevelGuard.over(path).catch(async (error: unknown) => {
      await db.close();
      throw error;
    });
    return new OpenLevelStore(db, {
      path,
      guard,
      onClosed: () => openHere.delete(path),
      isNew: create,
      writeBufferSize: tuning.writeBufferSize,
    });
  } catch (error) {
    openHere.delete(path);
    if (isLocked(error)) throw lockedError(path, await findLockHolder(join(path, 'LOCK')), error);
    throw isThere(error) ? error : levelError(path, 'open', error);
  }
}

/**
 * The files of a store in use change while they are read, so what looks like damage is looked at again:
 * LevelDB then says that the store is locked. (A holder in another pid namespace does not show in
 * /proc/locks.)
 */
async function checkUnlessLocked(path: string, depth: FileDepth): Promise<void> {
  if ((await findLockHolder(join(path, 'LOCK'))) !== undefined) return;
  try {
    await checkLevelFiles(path, depth);
  } catch {
    if ((await findLockHolder(join(path, 'LOCK'))) === undefined) await checkLevelFiles(path, depth);
  }
}

export function lockedError(path: string, holder: LockHolder | undefined, cause?: unknown): ThinError {
  const details = { path, ...holder };
  if (holder === undefined)
    return new ThinError('locked', `the store ${path} is in use by another process: stop that one first`, {
      cause,
      details,
    });
  const who = holder.pid === process.pid ? 'this process' : `process ${holder.pid} (${holder.command})`;
  return new ThinError('locked', `the store ${path} is in use by ${who}: stop that one first`, {
    cause,
    details,
  });
}

/**
 * Bytes of values that an iterator reads ahead; LevelDB's 16 KiB would mean a thread switch for each chunk.
 */
const READ_AHEAD = 2 ** 20;

interface LevelPlace {
  readonly path: string;
  readonly guard: LevelGuard;
}

class LevelReader implements KvReader {
  protected readonly db: Db;
  protected readonly place: string;
  protected readonly guard: LevelGuard;
  readonly #at: { snapshot?: DbSnapshot };

  constructor(db: Db, { path, guard }: LevelPlace, snapshot?: DbSnapshot) {
    this.db = db;
    this.place = path;
    this.guard = guard;
    this.#at = snapshot === undefined ? {} : { snapshot };
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    try {
      this.guard.beforeGet(key, this.#at.snapshot !== undefined);
      return plain(this.db.getSync(key, this.#at));
    } catch (error) {
      throw levelError(this.place, 'read', error);
    }
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      this.guard.beforeGet(key, this.#at.snapshot !== undefined);
      return plain(await this.db.get(key, this.#at));
    } catch (error) {
      throw levelError(this.place, 'read', error);
    }
  }

  async *entries(
    range: KvRange,
    options: { values?: boolean } = {},
  ): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
    const values = options.values !== false;
    try {
      await this.guard.beforeRange(range);
      const all = { gte: range.gte, lt: range.lt, values, highWaterMarkBytes: READ_AHEAD, ...this.#at };
      const pace = new Pace();
      for await (const [key, value] of this.db.iterator(all)) {
        yield [plain(key), values ? plain(value) : NOTHING];
        // What was read ahead comes without a turn of the event loop.
        const pause = pace.pause();
        if (pause !== undefined) await pause;
      }
    } catch (error) {
      throw levelError(this.place, 'read', error);
    }
  }
}

class LevelSnapshot extends LevelReader implements KvSnapshot {
  readonly #snapshot: DbSnapshot;

  constructor(db: Db, place: LevelPlace, snapshot: DbSnapshot) {
    super(db, place, snapshot);
    this.#snapshot = snapshot;
  }

  async close(): Promise<void> {
    await this.#snapshot.close();
  }
}

interface OpenLevelParts extends LevelPlace {
  readonly onClosed: () => void;
  /** What it has was written a moment ago. */
  readonly isNew: boolean;
  readonly writeBufferSize: number;
}

class OpenLevelStore extends LevelReader implements LevelStore {
  readonly path: string;
  #queue: Promise<void> = Promise.resolve();
  #failed: ThinError | undefined;
  #closing: Promise<void> | undefined;

  readonly #onClosed: () => void;

  readonly #structure: StructureCheck;
  readonly #isNew: boolean;
  readonly #writeBufferSize: number;
  /** Bytes that can be written before LevelDB may compact what it has had for long. */
  #trusted: number;
  #onDamage: (error: ThinError) => void = () => undefined;

  constructor(db: Db, { onClosed, isNew, writeBufferSize, ...place }: OpenLevelParts) {
    super(db, place);
    this.path = place.path;
    this.#onClosed = onClosed;
    this.#structure = new StructureCheck(place.path);
    this.#isNew = isNew;
    this.#writeBufferSize = writeBufferSize;
    this.#trusted = writeBufferSize * (isNew ? 3 : 0.5);
    this.guard.onReadOften((table) => {
      this.#structure.table(table).then(
        (found) => {
          if (found !== undefined) this.guard.spoil(table);
          this.#found(found);
        },
        (error: unknown) => this.#onDamage(levelError(this.path, 'read', error)),
      );
    });
  }

  batch(operations: readonly KvOperation[], options: { sync: boolean }): Promise<void> {
    if (this.#closing !== undefined)
      return Promise.reject(new ThinError('closed', `cannot write to the store ${this.path}: it is closed`));
    // A chained batch takes its copies at once, and is written only in its turn: two writes that LevelDB gets
    // at a time may change places, and one behind a failed one would go through.
    const batch = this.db.batch();
    let bytes = 0;
    for (const operation of operations) {
      if (operation.type === 'put') {
        batch.put(operation.key, operation.value);
        bytes += operation.value.length;
      } else batch.del(operation.key);
    }
    this.#trusted -= bytes;
    const written = this.#queue.then(async () => {
      if (this.#failed !== undefined) {
        await batch.close();
        throw refusal(this.path, this.#failed);
      }
      try {
        if (this.#trusted < 0) refuse(await this.#structure.due(bytes, this.#writeBufferSize));
        await batch.write({ sync: options.sync });
        if (this.#trusted < bytes) this.#structure.lookAhead(bytes, this.#writeBufferSize);
      } catch (error) {
        this.#failed = levelError(this.path, 'write to', error);
        throw this.#failed;
      }
    });
    this.#queue = written.catch(() => undefined);
    return written;
  }

  snapshot(): KvSnapshot {
    try {
      return new LevelSnapshot(this.db, { path: this.place, guard: this.guard }, this.db.snapshot());
    } catch (error) {
      throw levelError(this.path, 'take a snapshot of', error);
    }
  }

  async compact(range: KvRange): Promise<void> {
    try {
      if (!this.#isNew || this.#trusted < 0) refuse(await this.#structure.range(range));
      await this.db.compactRange(range.gte, range.lt);
    } catch (error) {
      throw levelError(this.path, 'compact', error);
    }
  }

  async sizeOf(range: KvRange): Promise<number> {
    try {
      return await this.db.approximateSize(range.gte, range.lt);
    } catch (error) {
      throw levelError(this.path, 'measure', error);
    }
  }

  watchFiles(onDamage: (error: ThinError) => void): void {
    this.#onDamage = onDamage;
    // What cannot be looked at now is told when a write needs it.
    this.#structure.all().then(
      (found) => this.#found(found),
      () => undefined,
    );
  }

  damagedFiles(): AsyncIterable<ThinError> {
    return damagedFilesApart(this.path);
  }

  #found(spoiled: SpoiledTable | undefined): void {
    if (spoiled === undefined) return;
    this.guard.spoil(spoiled.number);
    this.#onDamage(spoiled.error);
  }

  close(): Promise<void> {
    this.#closing ??= this.#queue
      .then(() => this.#structure.stop())
      .then(() => this.db.close())
      .finally(() => this.guard.close())
      .then(this.#onClosed)
      .catch((error: unknown) => {
        throw levelError(this.path, 'close', error);
      });
    return this.#closing;
  }
}

const NOTHING = new Uint8Array(0);

/** classic-level hands out Buffers, whose slice() shares memory where a Uint8Array's copies. */
function plain(bytes: Uint8Array): Uint8Array;
function plain(bytes: Uint8Array | undefined): Uint8Array | undefined;
function plain(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes === undefined ? undefined : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @throws ThinError damaged */
function refuse(spoiled: SpoiledTable | undefined): void {
  if (spoiled !== undefined) throw spoiled.error;
}

function refusal(path: string, failed: ThinError): ThinError {
  return new ThinError(
    'io',
    `the store ${path} takes no more writes since one failed (${failed.message}); restart`,
    {
      cause: failed,
      details: { path },
    },
  );
}

import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { MARGIN } from '../../src/format/data-label.js';
import { readdir, readFile, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { DEFAULT_POOL_OPTIONS } from '../../src/config/defaults.js';
import { createPoolIn, prepareDataFor } from '../../src/daemon/composition.js';
import { prepareRoot } from '../../src/daemon/init-root.js';
import { rootLayout } from '../../src/config/root-layout.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { readSuperblock } from '../../src/metadata/open-metadata.js';
import type { PoolKind } from '../../src/pool/info.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { openPoolData } from '../../src/store/pool-data.js';
import type { KeyValue } from '../../src/store/key-value.js';
import type { LevelStoreOptions } from '../../src/store/level-store.js';
import { PoolLog } from '../../src/store/pool-log.js';
import { openPoolStore } from '../../src/store/pool-store.js';
import { Random } from './random.js';

const BLOCK = 65536;
const PAGE = 4096;
/** Of a block. */
export const PAGES: number = BLOCK / PAGE;
const BLOCKS = 12;
const STEPS = 60;
const DATA_SIZE = 64 * 2 ** 20;
/** Of these, chunks lie in the first ones only. */
export const DATA_IN_USE: number = 8 * 2 ** 20;
/** Bytes. */
const CHUNK_CACHE = 2 ** 20;
/** Bytes of the pool's log; a quarter of it may be used before there is a commit. */
const RING = 2 ** 20;
/** Writes that only the pool's log has. */
const LOGGED_STEPS = 12;
/** Bytes of LevelDB's log that is left, at least. */
const LOG_BYTES = { leveldb: 192 * 1024, packed: 48 * 1024, direct: 24 * 1024 };
const NODES = { leaf: 6, internal: 6 };
/** So small that a short history makes tables at several levels. */
export const STORES: Readonly<Record<SubjectKind, LevelStoreOptions>> = {
  leveldb: { tuning: { writeBufferSize: 512 * 1024, maxFileSize: 2 ** 20 } },
  packed: { tuning: { writeBufferSize: 64 * 1024, maxFileSize: 2 ** 20 } },
  direct: { tuning: { writeBufferSize: 65536, maxFileSize: 2 ** 20 } },
};

/** `packed`: a `leveldb` pool of data that Zstandard makes smaller. */
export type SubjectKind = PoolKind | 'packed';

export function poolKindOf(kind: SubjectKind): PoolKind {
  return kind === 'direct' ? 'direct' : 'leveldb';
}

/** Checksums of the pages of each device. */
export type Contents = Readonly<Record<string, readonly number[]>>;

/** What a pool held after each of its commits, the last one last. */
export type History = readonly Contents[];

/**
 * Makes a pool in `root` as a daemon leaves it that was killed: tables, a log of LevelDB's and one of the pool's
 * that are not empty, all of it synced.
 * @param scratch where it is made
 */
export async function makeSubject(
  root: string,
  { kind, seed, scratch }: { kind: SubjectKind; seed: number; scratch: string },
): Promise<History> {
  const layout = rootLayout(path.join(scratch, 'live'));
  const fresh = await prepareRoot(layout);
  const request = {
    path: layout.pool,
    blockSize: BLOCK,
    dataSize: DATA_SIZE,
    metadataSize: 2 ** 24,
    options: {
      ...DEFAULT_POOL_OPTIONS,
      baseSize: BLOCKS * BLOCK,
      minFreeSpace: 0,
      ...(kind === 'packed' ? { compression: 'zstd' as const } : {}),
    },
  };
  const data = path.join(layout.root, 'data');
  if (kind !== 'direct') await createPoolIn(layout, request);
  else {
    const prepared = await prepareDataFor({
      path: data,
      blockSize: BLOCK,
      dataSize: DATA_SIZE,
      defaultSize: DATA_SIZE,
      force: false,
    });
    await createPoolIn(layout, request, { prepared, maker: fresh.maker });
    await prepared.finish();
  }
  await fresh.finish();
  const store = await openPoolStore(layout.pool, STORES[kind]);
  const pool = await openSubject(store, { data: kind === 'direct' ? data : undefined, folder: layout.pool });
  const random = new Random(seed);
  const bytes = (length: number): Uint8Array =>
    kind === 'packed' ? repeated(random.bytes(64), length) : random.bytes(length);
  const history = await work(
    pool,
    { random, bytes },
    async () => (await newestLog(layout.pool)) >= LOG_BYTES[kind],
  );
  await writeLogged(pool, { random, bytes }, history);
  copyRoot(layout.root, root);
  await pool.close();
  if (kind === 'direct' && !(await readFile(data)).equals(await readFile(path.join(root, 'data'))))
    throw new Error(`chunks of the subject lie beyond ${DATA_IN_USE} bytes`);
  return history;
}

export interface SubjectFiles {
  /** Of a `direct` pool. */
  readonly data: string | undefined;
  /** Where the pool's log is; undefined: it is opened without. */
  readonly folder?: string;
}

export async function openSubject(store: KeyValue, { data, folder }: SubjectFiles): Promise<ThinPool> {
  const superblock = readSuperblock(store);
  const log = folder === undefined ? undefined : await openLog(folder, store);
  let handle: FileHandle | undefined;
  try {
    const options = { commitInterval: 0, limits: NODES, log, chunkCache: CHUNK_CACHE };
    if (data === undefined) return await openPool(store, options);
    const opened = await openPoolData(data, superblock);
    handle = opened.handle;
    return await openPool(store, { ...options, data: { handle, start: opened.label.start } });
  } catch (error) {
    await handle?.close();
    await log?.close(undefined);
    throw error;
  }
}

async function openLog(folder: string, store: KeyValue): Promise<PoolLog> {
  const { uuid, kind } = readSuperblock(store);
  return PoolLog.open(folder, store, {
    uuid,
    isDirect: kind === 'direct',
    ring: RING,
    onNote: () => undefined,
  });
}

export const SUBJECT_NODES = NODES;
export const SUBJECT_BLOCK = BLOCK;

async function newestLog(folder: string): Promise<number> {
  const name = (await readdir(folder))
    .filter((one) => one.endsWith('.log'))
    .sort()
    .at(-1)!;
  return (await stat(path.join(folder, name))).size;
}

/** As files, links and folders; a pool has no more. What leads into the one leads into the other there. */
export function copyRoot(from: string, to: string): void {
  copyFolder(from, to, (target) => target.replace(new RegExp(`^${from}(?=/)`), to));
}

function copyFolder(from: string, to: string, linked: (target: string) => string): void {
  mkdirSync(to);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [here, there] = [path.join(from, entry.name), path.join(to, entry.name)];
    if (entry.isDirectory()) copyFolder(here, there, linked);
    else if (entry.isSymbolicLink()) symlinkSync(linked(readlinkSync(here)), there);
    else if (statSync(here).size <= DATA_IN_USE) copyFileSync(here, there);
    else copyEnds(here, there);
  }
}

/** Of data: what lies between is a hole, and stays one. */
function copyEnds(from: string, to: string): void {
  const [source, target] = [openSync(from, 'r'), openSync(to, 'w')];
  const { size } = statSync(from);
  const copy = (at: number, length: number): void => {
    const bytes = Buffer.alloc(length);
    writeSync(target, bytes, 0, readSync(source, bytes, 0, length, at), at);
  };
  ftruncateSync(target, size);
  copy(0, DATA_IN_USE);
  copy(size - MARGIN, MARGIN);
  closeSync(source);
  closeSync(target);
}

interface Chance {
  readonly random: Random;
  readonly bytes: (length: number) => Uint8Array;
}

function repeated(piece: Uint8Array, length: number): Uint8Array {
  const all = new Uint8Array(length);
  for (let at = 0; at < length; at += piece.length) all.set(piece, at);
  return all;
}

async function work(
  pool: ThinPool,
  { random, bytes }: Chance,
  isEnough: () => Promise<boolean>,
): Promise<Contents[]> {
  const history: Contents[] = [await contentsOf(pool)];
  const names: DeviceName[] = [BASE_NAME];
  for (let step = 0; step < STEPS || !(await isEnough()); step++) {
    const name = names[random.below(names.length)]!;
    const what = random.below(10);
    if (what === 0 && names.length < 6) {
      const copy = `copy${step}` as DeviceName;
      await pool.createSnapshot({ name: copy, origin: name, kind: 'snapshot' });
      names.push(copy);
    } else if (what === 1 && name !== BASE_NAME) {
      await pool.deactivate(name);
      await pool.remove(name);
      names.splice(names.indexOf(name), 1);
    } else {
      const file = await pool.activate(name);
      const block = random.below(BLOCKS);
      if (what === 2) await file.discard(block * BLOCK, BLOCK);
      else if (what < 5) await file.write(block * BLOCK, bytes(BLOCK));
      else await file.write(block * BLOCK + random.below(BLOCK / PAGE) * PAGE, bytes(PAGE));
    }
    await pool.settle();
    history.push(await contentsOf(pool));
  }
  return history;
}

/** Writes, each synced, that no commit has. */
async function writeLogged(pool: ThinPool, { random, bytes }: Chance, history: Contents[]): Promise<void> {
  const names = pool.devices().map(({ name }) => name);
  for (let step = 0; step < LOGGED_STEPS; step++) {
    const file = await pool.activate(names[random.below(names.length)]!);
    const page = random.below((BLOCKS * BLOCK) / PAGE) * PAGE;
    if (step % 4 === 3) await file.discard(page - (page % BLOCK), BLOCK);
    else await file.write(page, bytes(PAGE));
    await file.flush();
    history.push(await contentsOf(pool));
  }
}

/** @param onLost told of what cannot be read; its checksum is then -1 */
export async function contentsOf(pool: ThinPool, onLost?: () => void): Promise<Contents> {
  const contents: Record<string, number[]> = {};
  const into = new Uint8Array(BLOCK);
  for (const { name, size } of pool.devices()) {
    const file = await pool.activate(name);
    const found: number[] = [];
    for (let block = 0; block < size / BLOCK; block++) {
      try {
        await file.read(block * BLOCK, into);
        for (let at = 0; at < BLOCK; at += PAGE) found.push(crc32(into.subarray(at, at + PAGE)));
      } catch (error) {
        if (onLost === undefined) throw error;
        onLost();
        for (let page = 0; page < PAGES; page++) found.push(LOST);
      }
    }
    contents[name] = found;
  }
  return contents;
}

export const LOST = -1;
export const ZEROES: number = crc32(new Uint8Array(PAGE));

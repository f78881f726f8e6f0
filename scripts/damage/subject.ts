import { execFile } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
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
import { openPoolStore } from '../../src/store/pool-store.js';
import { Random } from './random.js';

const run = promisify(execFile);

const BLOCK = 65536;
const PAGE = 4096;
const BLOCKS = 12;
const STEPS = 60;
const DATA_SIZE = 64 * 2 ** 20;
/** Bytes of the log that is left, at least. */
const LOG_BYTES = { leveldb: 192 * 1024, direct: 24 * 1024 };
const NODES = { leaf: 6, internal: 6 };
/** So small that a short history makes tables at several levels. */
export const STORES: Readonly<Record<PoolKind, LevelStoreOptions>> = {
  leveldb: { tuning: { writeBufferSize: 512 * 1024, maxFileSize: 2 ** 20 } },
  direct: { tuning: { writeBufferSize: 65536, maxFileSize: 2 ** 20 } },
};

/** Checksums of the blocks of each device. */
export type Contents = Readonly<Record<string, readonly number[]>>;

/** What a pool held after each of its commits, the last one last. */
export type History = readonly Contents[];

/**
 * Makes a pool in `root` as a daemon leaves it that was killed: tables, and a log that is not empty, all of
 * it synced.
 * @param scratch where it is made
 */
export async function makeSubject(
  root: string,
  { kind, seed, scratch }: { kind: PoolKind; seed: number; scratch: string },
): Promise<History> {
  const layout = rootLayout(path.join(scratch, 'live'));
  const fresh = await prepareRoot(layout);
  const request = {
    path: layout.pool,
    blockSize: BLOCK,
    dataSize: DATA_SIZE,
    metadataSize: 2 ** 24,
    options: { ...DEFAULT_POOL_OPTIONS, baseSize: BLOCKS * BLOCK, minFreeSpace: 0 },
  };
  const data = path.join(layout.root, 'data');
  if (kind === 'leveldb') await createPoolIn(layout, request);
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
  const pool = await openSubject(store, kind === 'direct' ? data : undefined);
  const history = await work(
    pool,
    new Random(seed),
    async () => (await newestLog(layout.pool)) >= LOG_BYTES[kind],
  );
  await pool.close();
  await copyRoot(layout.root, root);
  return history;
}

/** @param data of a `direct` pool */
export async function openSubject(store: KeyValue, data: string | undefined): Promise<ThinPool> {
  const options = { commitInterval: 0, limits: NODES };
  if (data === undefined) return openPool(store, options);
  const { handle, label } = await openPoolData(data, readSuperblock(store));
  try {
    return await openPool(store, { ...options, data: { handle, start: label.start } });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

export const SUBJECT_NODES = NODES;

async function newestLog(folder: string): Promise<number> {
  const name = (await readdir(folder))
    .filter((one) => one.endsWith('.log'))
    .sort()
    .at(-1)!;
  return (await stat(path.join(folder, name))).size;
}

/** Holes stay holes. */
export async function copyRoot(from: string, to: string): Promise<void> {
  await run('cp', ['--archive', '--sparse=always', '--no-target-directory', from, to]);
}

async function work(pool: ThinPool, random: Random, isEnough: () => Promise<boolean>): Promise<History> {
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
      else if (what < 5) await file.write(block * BLOCK, random.bytes(BLOCK));
      else await file.write(block * BLOCK + random.below(BLOCK / PAGE) * PAGE, random.bytes(PAGE));
    }
    await pool.settle();
    history.push(await contentsOf(pool));
  }
  return history;
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
        found.push(crc32(into));
      } catch (error) {
        if (onLost === undefined) throw error;
        onLost();
        found.push(LOST);
      }
    }
    contents[name] = found;
  }
  return contents;
}

export const LOST = -1;
export const ZEROES: number = crc32(new Uint8Array(BLOCK));

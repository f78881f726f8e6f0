import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { openLevelStore } from '../../src/store/level-store.js';
import { numberedBatch, SMALL_TUNING } from './numbered-batches.js';

/**
 * A closed store of LevelDB with so many numbered batches in tables and a log.
 * @returns its values, by key in hex
 */
export async function makeNumberedStore(
  folder: string,
  batches: number,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const store = await openLevelStore(folder, { createIfMissing: true, tuning: SMALL_TUNING });
  for (let n = 1; n <= batches; n++) await store.batch(numberedBatch(n), { sync: true });
  const values = new Map<string, Uint8Array>();
  for await (const [key, value] of store.entries({ gte: Uint8Array.of(0), lt: Uint8Array.of(255) }))
    values.set(Buffer.from(key).toString('hex'), value);
  await store.close();
  return values;
}

export async function filesLike(folder: string, pattern: RegExp): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => pattern.test(name)).sort();
  return names.map((name) => path.join(folder, name));
}

export async function flipByte(file: string, at: number): Promise<void> {
  const handle = await open(file, 'r+');
  await flipByteOf(handle, at);
  await handle.close();
}

async function flipByteOf(handle: FileHandle, at: number): Promise<void> {
  const bytes = Buffer.alloc(1);
  await handle.read(bytes, 0, 1, at);
  await handle.write(Uint8Array.of(bytes[0]! ^ 0xff), 0, 1, at);
}

export async function sizeOf(file: string): Promise<number> {
  return (await stat(file)).size;
}

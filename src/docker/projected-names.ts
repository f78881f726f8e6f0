import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { DEVICE_FILE_START } from './projection.js';

/**
 * Names of devices by number, as the files of Docker's `metadata/` folder have them: what is left where a
 * record is lost.
 */
export async function projectedNames(folder: string): Promise<ReadonlyMap<number, string>> {
  const names = new Map<number, string>();
  for (const name of await readdir(folder).catch(() => [])) {
    const text = await readFile(path.join(folder, name), 'utf8').catch(() => '');
    if (!text.startsWith(DEVICE_FILE_START)) continue;
    const id = Number.parseInt(text.slice(DEVICE_FILE_START.length), 10);
    if (Number.isSafeInteger(id)) names.set(id, name);
  }
  return names;
}

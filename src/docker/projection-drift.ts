import { lstat, readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { metadataFiles, type ProjectionSource } from './metadata-files.js';
import { DEVICE_FILE_START } from './projection.js';

/** Far above any of these files. */
const MAX_FILE = 64 * 1024;

/**
 * Files of Docker's `metadata/` folder that are missing, not as the pool is, or a device's that is gone;
 * absolute, in order.
 */
export async function projectionDrift(folder: string, source: ProjectionSource): Promise<readonly string[]> {
  const wanted = await metadataFiles(source);
  const there = await readdir(folder).catch(() => []);
  const drifted: string[] = [];
  for (const name of [...new Set([...wanted.keys(), ...there])].sort()) {
    const content = await contentOf(path.join(folder, name));
    const expected = wanted.get(name);
    if (expected === undefined ? content?.startsWith(DEVICE_FILE_START) === true : content !== expected)
      drifted.push(path.join(folder, name));
  }
  return drifted;
}

async function contentOf(file: string): Promise<string | undefined> {
  const stat = await lstat(file).catch(() => undefined);
  if (stat?.isFile() !== true || stat.size > MAX_FILE) return undefined;
  return readFile(file, 'utf8').catch(() => undefined);
}

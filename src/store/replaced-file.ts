import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { fileError } from './level-errors.js';
import { syncFolder } from './level-folder.js';

/**
 * Puts a new file, whole and durable, in the place of whatever is there, or leaves that.
 * @param fill writes the new one
 * @throws ThinError no-space, io, permission, read-only
 */
export async function replaceFile(file: string, fill: (handle: FileHandle) => Promise<void>): Promise<void> {
  const temporary = `${file}.new`;
  try {
    const handle = await open(temporary, 'w', 0o600);
    try {
      await fill(handle);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    await syncFolder(path.dirname(file));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(file, error);
  }
}

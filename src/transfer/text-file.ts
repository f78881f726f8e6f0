import { createReadStream, existsSync } from 'node:fs';
import { chmod, lstat, open, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { umaskOfUser } from '../host/private-files.js';

/**
 * The file is the user's, and of their umask. Removes it again where its text breaks off, but never a device,
 * a pipe or a link.
 */
export async function writePieces(
  file: string,
  text: AsyncIterable<string> | Iterable<string | Uint8Array>,
): Promise<void> {
  try {
    const isNew = !existsSync(file);
    // Opened first: a stream that is destroyed while it opens would make the file after it was looked for.
    const handle = await open(file, 'w');
    await pipeline(text, handle.createWriteStream());
    const umask = umaskOfUser();
    if (isNew && umask !== undefined) await chmod(file, 0o666 & ~umask);
  } catch (error) {
    if (!(error instanceof ThinError) && systemErrorCode(error) !== undefined)
      throw fileError(file, error, 'written');
    if ((await lstat(file).catch(() => undefined))?.isFile() === true) await rm(file);
    throw error;
  }
}

export async function* piecesOf(file: string): AsyncGenerator<string> {
  const stream = file === '-' ? process.stdin.setEncoding('utf8') : createReadStream(file, 'utf8');
  try {
    for await (const piece of stream) yield piece as string;
  } catch (error) {
    throw fileError(file, error, 'read');
  }
}

function fileError(file: string, error: unknown, what: string): ThinError {
  const code = systemErrorCode(error);
  const options = { cause: error, details: { path: file } };
  if (code === 'ENOENT') return new ThinError('not-found', `there is no ${file}; check the path`, options);
  if (code === 'EACCES' || code === 'EPERM')
    return new ThinError('permission', `${file} cannot be ${what}; run this as root`, options);
  if (code === 'ENOSPC')
    return new ThinError('no-space', `the disk of ${file} is full; make room and try again`, options);
  return new ThinError('io', `${file} cannot be ${what}: ${String(error)}`, options);
}

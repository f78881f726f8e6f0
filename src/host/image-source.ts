import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { ThinError, systemErrorCode } from '../errors/thin-error.js';
import type { Exec } from './exec.js';

export type ImageSource =
  /** A root filesystem as files. */
  | { readonly kind: 'folder'; readonly path: string }
  /** A root filesystem as a tar, perhaps compressed. */
  | { readonly kind: 'tar'; readonly path: string; readonly decompress: readonly string[] }
  /** An OCI image layout (oci-layout, index.json, blobs/). */
  | { readonly kind: 'image-folder'; readonly path: string }
  /** A tar of an OCI image layout, or what `docker save` writes. */
  | { readonly kind: 'image-archive'; readonly path: string; readonly decompress: readonly string[] };

/**
 * First bytes of compressed files and tar's option for each; tar finds out by itself only where it may seek.
 */
const COMPRESSIONS: readonly { readonly magic: string; readonly option: string }[] = [
  { magic: '1f8b', option: '--gzip' },
  { magic: '425a68', option: '--bzip2' },
  { magic: 'fd377a585a00', option: '--xz' },
  { magic: '28b52ffd', option: '--zstd' },
  { magic: '5d0000', option: '--lzma' },
];
const LONGEST_MAGIC = 6;

/** All that image archives hold at their top; a root filesystem has something else very soon. */
const IMAGE_MEMBER =
  /^(\.\/)?(blobs(\/.*)?|oci-layout|index\.json|manifest\.json|repositories|[0-9a-f]{64}(\.json|\.tar|\/.*)?)?$/;
const IMAGE_INDEX = /^(\.\/)?(index|manifest)\.json$/;

/**
 * Finds out what an image can be made of. Errors: not-found, invalid-argument (neither a folder nor a file),
 * permission, tool-failed (no tar).
 */
export async function inspectSource(exec: Exec, source: string): Promise<ImageSource> {
  const absolute = path.resolve(source);
  const found = await statSource(absolute);
  if (found.isDirectory())
    return {
      kind: (await isFile(path.join(absolute, 'oci-layout'))) ? 'image-folder' : 'folder',
      path: absolute,
    };
  if (!found.isFile())
    throw new ThinError(
      'invalid-argument',
      `${absolute} is neither a folder nor a tar file; give one of them`,
      { details: { path: absolute } },
    );
  const decompress = await compressionOf(absolute);
  return {
    kind: (await isImageArchive(exec, absolute, decompress)) ? 'image-archive' : 'tar',
    path: absolute,
    decompress,
  };
}

/** tar's option for the compression of a file; none for a plain one. */
export async function compressionOf(file: string): Promise<readonly string[]> {
  const handle = await open(file);
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(LONGEST_MAGIC), 0, LONGEST_MAGIC, 0);
    const start = buffer.subarray(0, bytesRead).toString('hex');
    const compression = COMPRESSIONS.find(({ magic }) => start.startsWith(magic));
    return compression === undefined ? [] : [compression.option];
  } finally {
    await handle.close();
  }
}

async function isImageArchive(exec: Exec, file: string, decompress: readonly string[]): Promise<boolean> {
  const enough = new AbortController();
  let rest = '';
  const seen = { index: false, other: false };
  const handle = await open(file);
  try {
    await exec.run('tar', ['--list', '--file=-', ...decompress], {
      stdin: handle.fd,
      signal: enough.signal,
      onStdout: (piece) => {
        const names = (rest + piece.toString('latin1')).split('\n');
        rest = names.pop() ?? '';
        for (const name of names) {
          seen.index ||= IMAGE_INDEX.test(name);
          seen.other ||= !IMAGE_MEMBER.test(name);
        }
        if (seen.other) enough.abort();
      },
    });
  } catch (error) {
    if (!seen.other) throw error;
  } finally {
    await handle.close();
  }
  return seen.index && !seen.other;
}

async function statSource(absolute: string): Promise<{ isDirectory(): boolean; isFile(): boolean }> {
  try {
    return await stat(absolute);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new ThinError('not-found', `${absolute} is not there; give a folder or a tar file`, {
        cause: error,
        details: { path: absolute },
      });
    if (code === 'EACCES' || code === 'EPERM')
      throw new ThinError('permission', `${absolute} may not be read; run as root`, {
        cause: error,
        details: { path: absolute },
      });
    throw error;
  }
}

async function isFile(file: string): Promise<boolean> {
  return stat(file).then(
    (found) => found.isFile(),
    () => false,
  );
}

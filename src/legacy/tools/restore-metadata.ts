import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ThinError } from '../../errors/thin-error.js';
import { ChildProcessExec } from '../../host/exec.js';
import { writePieces } from '../../transfer/text-file.js';

/** Errors: invalid-argument (it is one of `inputs`, by whatever name). */
export async function requireOther(output: string, inputs: readonly string[]): Promise<void> {
  const own = await identityOf(output);
  for (const input of inputs)
    if ((await identityOf(input)) === own)
      throw new ThinError('invalid-argument', `${output} is the input; name another file or device`);
}

async function identityOf(name: string): Promise<string> {
  const found = await stat(name).catch(() => undefined);
  if (found === undefined) return path.resolve(name);
  return found.isBlockDevice() ? `device ${found.rdev}` : `file ${found.dev}:${found.ino}`;
}

/**
 * Writes metadata by thin_restore. `prepare` readies the output once the text is there, whole. Errors:
 * check-failed, missing-tool, io, no-space; those of the text.
 */
export async function restoreText(
  text: Iterable<string | Uint8Array>,
  output: string,
  prepare: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-restore-'));
  try {
    const xml = path.join(folder, 'metadata.xml');
    await writePieces(xml, text);
    await prepare();
    await new ChildProcessExec().run('thin_restore', ['--quiet', '-i', xml, '-o', output]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

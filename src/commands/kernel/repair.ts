import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ThinError } from '../../errors/thin-error.js';
import { ChildProcessExec } from '../../host/exec.js';
import { thinDumpText, type DumpOverrides } from '../../legacy/tools/thin-dump.js';
import type { Context } from '../context.js';
import { printResult } from '../output.js';
import { writePieces } from '../pieces.js';
import type { KernelSource } from './flags.js';
import { withKernelMetadata } from './source.js';

/**
 * As thin_repair: what can be read of broken metadata, written to `output` by thin_restore. Errors:
 * check-failed, missing-tool, invalid-argument (`output` is the input).
 */
export async function repairKernelMetadata(
  context: Context,
  source: KernelSource,
  output: string,
  overrides: DumpOverrides,
): Promise<void> {
  if (source.metadata.some((input) => path.resolve(input) === path.resolve(output)))
    throw new ThinError('invalid-argument', `${output} is what is read; name another file or device`);
  const folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-repair-'));
  try {
    const xml = path.join(folder, 'metadata.xml');
    await withKernelMetadata(context, source, async (reader) => {
      const text = thinDumpText(reader, {
        format: 'xml',
        repair: true,
        snapshot: false,
        skipMappings: false,
        overrides,
      });
      await writePieces(xml, text);
      await new ChildProcessExec().run('thin_restore', ['--quiet', '-i', xml, '-o', output]);
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  printResult(context, { output }, `what could be read is in ${output}`);
}

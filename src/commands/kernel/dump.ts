import { thinDumpText, type ThinDumpOptions } from '../../legacy/tools/thin-dump.js';
import type { Context } from '../context.js';
import { printPieces } from '../output.js';
import { writePieces } from '../../transfer/text-file.js';
import type { KernelSource } from './flags.js';
import { withKernelMetadata } from './source.js';

/** thin_dump's options, its output and its exit code. Errors: check-failed. */
export async function dumpKernelMetadata(
  context: Context,
  source: KernelSource,
  { output, ...options }: ThinDumpOptions & { readonly output: string | undefined },
): Promise<void> {
  await withKernelMetadata(context, source, async (reader) => {
    const text = thinDumpText(reader, options);
    if (output === undefined) await printPieces(text);
    else await writePieces(output, text);
  });
}

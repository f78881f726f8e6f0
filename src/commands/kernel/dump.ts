import { thinDumpText, type ThinDumpOptions } from '../../legacy/tools/thin-dump.js';
import { ToolMetadata, type SnapshotOption } from '../../legacy/tools/tool-metadata.js';
import type { Context } from '../context.js';
import { printPieces } from '../output.js';
import { writePieces } from '../../transfer/text-file.js';
import type { KernelSource } from './flags.js';
import { withKernelMetadata } from './source.js';

interface KernelDumpOptions extends ThinDumpOptions {
  readonly output: string | undefined;
  readonly heldRoot: SnapshotOption;
}

/** thin_dump's options, its output and its exit code. Errors: check-failed. */
export async function dumpKernelMetadata(
  context: Context,
  source: KernelSource,
  { output, heldRoot, ...options }: KernelDumpOptions,
): Promise<void> {
  await withKernelMetadata(context, source, async (reader) => {
    const metadata = options.repair
      ? (await import('../../legacy/tools/repaired-metadata.js')).repairedMetadata(reader, options.overrides)
      : ToolMetadata.open(reader, heldRoot);
    const text = thinDumpText(metadata, options);
    if (output === undefined) await printPieces(text);
    else await writePieces(output, text);
  });
}

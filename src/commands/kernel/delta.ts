import { thinDeltaText, type DeltaSide } from '../../legacy/tools/thin-delta.js';
import { ToolMetadata, type SnapshotOption } from '../../legacy/tools/tool-metadata.js';
import type { DeltaFormat } from '../../thin-tools/delta-lines.js';
import type { Context } from '../context.js';
import { printPieces } from '../output.js';
import type { KernelSource } from './flags.js';
import { withKernelMetadata } from './source.js';

/** thin_delta's options, its output and its exit code. Errors: check-failed, invalid-argument. */
export async function deltaOfKernelMetadata(
  context: Context,
  source: KernelSource,
  options: {
    readonly left: DeltaSide;
    readonly right: DeltaSide;
    readonly format: DeltaFormat;
    readonly changesOnly: boolean;
    readonly snapshot: SnapshotOption;
  },
): Promise<void> {
  const { left, right } = options;
  await withKernelMetadata(context, source, async (reader) => {
    const metadata = ToolMetadata.open(reader, options.snapshot);
    await printPieces(thinDeltaText(metadata, left, right, options));
  });
}

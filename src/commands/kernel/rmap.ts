import { thinRmap } from '../../legacy/tools/thin-rmap.js';
import { ToolMetadata, type SnapshotOption } from '../../legacy/tools/tool-metadata.js';
import type { ChunkRegion } from '../../metadata/reverse-map.js';
import { rmapLines } from '../../thin-tools/rmap-text.js';
import type { Context } from '../context.js';
import { printResult } from '../output.js';
import type { KernelSource } from './flags.js';
import { withKernelMetadata } from './source.js';

/** thin_rmap's options, its output and its exit code. Errors: check-failed. */
export async function rmapOfKernelMetadata(
  context: Context,
  source: KernelSource,
  { regions, snapshot }: { readonly regions: readonly ChunkRegion[]; readonly snapshot: SnapshotOption },
): Promise<void> {
  await withKernelMetadata(context, source, (reader) => {
    const runs = thinRmap(ToolMetadata.open(reader, snapshot), regions);
    printResult(context, runs, rmapLines(runs));
  });
}

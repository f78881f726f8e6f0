import { thinDelta, thinDeltaText } from '../../legacy/tools/thin-delta.js';
import { ToolMetadata, type SnapshotOption } from '../../legacy/tools/tool-metadata.js';
import { parseCount } from '../snapshot-option.js';
import type { Context } from '../context.js';
import { printJson, printPieces } from '../output.js';
import type { KernelSource } from './flags.js';
import { withKernelMetadata } from './source.js';

/** thin_delta's options, its output and its exit code. Errors: check-failed, invalid-argument. */
export async function deltaOfKernelMetadata(
  context: Context,
  source: KernelSource,
  options: {
    readonly left: string;
    readonly right: string;
    readonly verbose: boolean;
    readonly changesOnly: boolean;
    readonly snapshot: SnapshotOption;
  },
): Promise<void> {
  const [left, right] = [parseCount(options.left, '--thin1'), parseCount(options.right, '--thin2')];
  await withKernelMetadata(context, source, async (reader) => {
    const metadata = ToolMetadata.open(reader, options.snapshot);
    if (!context.json) {
      await printPieces(thinDeltaText(metadata, left, right, options));
      return;
    }
    const ranges = [...thinDelta(metadata, left, right)].filter(
      ({ kind }) => !options.changesOnly || kind !== 'same',
    );
    printJson({ left, right, blockSize: metadata.superblock.blockSize, ranges });
  });
}

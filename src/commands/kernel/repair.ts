import { repairedMetadata } from '../../legacy/tools/repaired-metadata.js';
import { thinDumpText, type DumpOverrides } from '../../legacy/tools/thin-dump.js';
import type { Context } from '../context.js';
import { printResult } from '../output.js';
import type { KernelSource } from './flags.js';
import { requireOther, restoreText } from '../../legacy/tools/restore-metadata.js';
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
  await requireOther(output, source.metadata);
  await withKernelMetadata(context, source, (reader) =>
    restoreText(
      thinDumpText(repairedMetadata(reader, overrides), {
        format: 'xml',
        repair: true,
        skipMappings: false,
        overrides,
      }),
      output,
    ),
  );
  printResult(context, { output }, `what could be read is in ${output}`);
}

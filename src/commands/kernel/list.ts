import { fieldJson, fieldTable, parseFields } from '../../docker/device-fields.js';
import { ToolMetadata, type SnapshotOption } from '../../legacy/tools/tool-metadata.js';
import { thinLs } from '../../legacy/tools/thin-ls.js';
import type { Context } from '../context.js';
import { print, printJson } from '../output.js';
import type { KernelSource } from './flags.js';
import { withKernelMetadata } from './source.js';

const FIELDS = 'DEV,MAPPED,CREATE_TIME,SNAP_TIME';
/** What the records of devices do not say. */
const WALKED = /^(EXCLUSIVE|SHARED|HIGHEST)/;

/** thin_ls's options, its output and its exit code. Errors: check-failed, invalid-argument. */
export async function listKernelMetadata(
  context: Context,
  source: KernelSource,
  options: {
    readonly format: string | undefined;
    readonly headers: boolean;
    readonly snapshot: SnapshotOption;
  },
): Promise<void> {
  const fields = parseFields(options.format ?? FIELDS);
  await withKernelMetadata(context, source, (reader) => {
    const metadata = ToolMetadata.open(reader, options.snapshot);
    const { blockSize } = metadata.superblock;
    const devices = thinLs(metadata, { walk: fields.some((name) => WALKED.test(name)) }).map(
      ({ id, details, exclusive = 0, highest = -1 }) => {
        const mapped = Number(details.mappedBlocks) * blockSize;
        return {
          id,
          name: `thin-${id}`,
          mapped,
          exclusive: exclusive * blockSize,
          shared: mapped - exclusive * blockSize,
          highestMapped: (highest + 1) * blockSize,
          transactionId: details.transactionId,
          creationTime: details.creationTime,
          snapTime: details.snapTime,
        };
      },
    );
    if (context.json) printJson(fieldJson(devices, fields, { blockSize }));
    else print(fieldTable(devices, fields, { blockSize, headers: options.headers }));
  });
}

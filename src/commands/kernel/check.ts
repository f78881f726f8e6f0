import { ThinError } from '../../errors/thin-error.js';
import { thinCheck, type ThinCheckOptions } from '../../legacy/tools/thin-check.js';
import type { Context } from '../context.js';
import { complain, print, printJson } from '../output.js';
import type { WriteBlock } from '../../legacy/tools/thin-mend.js';
import type { BlockReader } from '../../legacy/block-reader.js';
import type { KernelSource } from './flags.js';
import { MetadataTarget } from '../../legacy/tools/metadata-target.js';
import { toldAlready, withKernelMetadata } from './source.js';

export interface KernelCheckOptions extends Omit<ThinCheckOptions, 'mend'> {
  readonly quiet: boolean;
  /** What may be written: only the flag, or what frees leaked blocks, too. */
  readonly mend?: 'flag' | 'leaks' | undefined;
}

/**
 * thin_check's options, its output and its exit code. Errors: check-failed; unsupported, busy (it would be
 * written to).
 */
export async function checkKernelMetadata(
  context: Context,
  source: KernelSource,
  options: KernelCheckOptions,
): Promise<void> {
  const target = options.mend === undefined ? undefined : await MetadataTarget.open(source);
  try {
    await withKernelMetadata(context, source, (reader) => {
      const write: WriteBlock = (block, bytes) => target!.write(block, bytes);
      const mend = target === undefined ? undefined : { freeLeaks: options.mend === 'leaks', write };
      check(context, reader, { ...options, mend });
    });
  } finally {
    target?.close();
  }
}

function check(
  context: Context,
  reader: BlockReader,
  options: ThinCheckOptions & { readonly quiet: boolean },
): void {
  const info: string[] = [];
  const lines: string[] = [];
  const isSound = thinCheck(reader, options, {
    info: (line) => {
      info.push(line);
      if (!options.quiet && !context.json) print(line);
    },
    progress: (line) => {
      lines.push(line);
      if (!options.quiet && !context.json) complain(`${line}\n`);
    },
  });
  const problems = lines.filter((line) => !/^(examining|checking|fixed|cleared) /.test(line));
  if (context.json && !options.quiet)
    printJson({
      ok: isSound,
      problems,
      ...(options.mend === undefined
        ? {}
        : { mended: lines.filter((line) => /^(fixed|cleared) /.test(line)) }),
      ...Object.fromEntries(info.map((line) => line.split('=') as [string, string])),
    });
  if (isSound) return;
  throw context.json
    ? new ThinError('check-failed', problems.join('; ').trim() || 'the metadata is damaged')
    : toldAlready();
}

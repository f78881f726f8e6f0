import { ThinError } from '../../errors/thin-error.js';
import { thinCheck, type ThinCheckOptions } from '../../legacy/tools/thin-check.js';
import type { Context } from '../context.js';
import { complain, print, printJson } from '../output.js';
import type { KernelSource } from './flags.js';
import { toldAlready, withKernelMetadata } from './source.js';

/** thin_check's options, its output and its exit code. Errors: check-failed. */
export async function checkKernelMetadata(
  context: Context,
  source: KernelSource,
  options: ThinCheckOptions & { readonly quiet: boolean },
): Promise<void> {
  await withKernelMetadata(context, source, (reader) => {
    const info: string[] = [];
    const lines: string[] = [];
    const isSound = thinCheck(reader, options, {
      info: (line) => {
        info.push(line);
        if (!options.quiet && !context.json) print(line);
      },
      progress: (line) => {
        lines.push(line);
        if (!options.quiet && !context.json) complain(line.endsWith('\n') ? line : `${line}\n`);
      },
    });
    const problems = lines.filter((line) => !/^(examining|checking) /.test(line));
    if (context.json && !options.quiet)
      printJson({
        ok: isSound,
        problems,
        ...Object.fromEntries(info.map((line) => line.split('=') as [string, string])),
      });
    if (isSound) return;
    throw context.json
      ? new ThinError('check-failed', problems.join('; ').trim() || 'the metadata is damaged')
      : toldAlready();
  });
}

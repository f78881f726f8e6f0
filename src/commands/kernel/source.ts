import { ThinError, toThinError } from '../../errors/thin-error.js';
import type { BlockReader } from '../../legacy/block-reader.js';
import { poolMetadata } from '../../legacy/pool-metadata.js';
import { SourceFile } from '../../legacy/source-file.js';
import { ToolFault } from '../../legacy/tools/tool-blocks.js';
import type { Context } from '../context.js';
import { complain } from '../output.js';
import type { KernelSource } from './flags.js';

/**
 * Reads metadata of dm-thin as a tool of thin-provisioning-tools does: what goes wrong is told in its words,
 * and ends with its exit code. Errors: check-failed.
 */
export async function withKernelMetadata(
  context: Context,
  { metadata, pool }: KernelSource,
  work: (reader: BlockReader) => Promise<void> | void,
): Promise<void> {
  const opened: SourceFile[] = [];
  try {
    for (const path of metadata) opened.push(new SourceFile(path, '--metadata'));
    await work(await poolMetadata(opened, pool));
  } catch (thrown) {
    throw failure(context, thrown);
  } finally {
    for (const file of opened) file.close();
  }
}

/** thin_check and its like know the exit codes 0 and 1. */
function failure({ json }: Context, thrown: unknown): ThinError {
  if (thrown instanceof ToolFault) {
    if (json) return new ThinError('check-failed', thrown.message.trimEnd(), { cause: thrown });
    complain(thrown.message.endsWith('\n') ? thrown.message : `${thrown.message}\n`);
    return toldAlready();
  }
  const error = toThinError(thrown);
  if (error.code === 'internal' || error.code === 'reader-gone' || error.code === 'invalid-argument')
    return error;
  return new ThinError('check-failed', error.message, { cause: error, details: error.details });
}

export function toldAlready(): ThinError {
  return new ThinError('check-failed', '');
}

import type { Command } from 'commander';
import { ThinError, toThinError } from '../../errors/thin-error.js';
import type { BlockReader } from '../../legacy/block-reader.js';
import { poolMetadata } from '../../legacy/lvm/pool-metadata.js';
import { SourceFile } from '../../legacy/source-file.js';
import { ToolFault } from '../../legacy/tools/tool-blocks.js';
import type { Context } from '../context.js';
import { complain } from '../output.js';

/** Of commands that work on metadata of dm-thin, too. */
export interface KernelFlags {
  readonly metadata?: readonly string[];
  readonly pool?: string;
}

export type KernelSource = KernelFlags & { readonly metadata: readonly string[] };

/** `--metadata`, as often as the pool has disks. */
export function withKernelOption(command: Command): Command {
  return command
    .option(
      '--metadata <path>',
      "metadata of the kernel's dm-thin in place of the pool: a file, a device, or a disk of LVM (each of them, where there are several)",
      (path: string, before: readonly string[] | undefined) => [...(before ?? []), path],
    )
    .option('--pool <name>', 'with --metadata, which thin pool on disks of LVM: NAME or GROUP/NAME');
}

export function isKernel<T extends KernelFlags>(flags: T): flags is T & KernelSource {
  return flags.metadata !== undefined;
}

/** @throws ThinError invalid-argument */
export function requireKernel(flags: KernelFlags, given: Readonly<Record<string, unknown>>): void {
  const [option] = Object.keys(given).filter((name) => given[name] !== undefined);
  if (option !== undefined && !isKernel(flags))
    throw new ThinError(
      'invalid-argument',
      `${option} is for the kernel's metadata; give it with --metadata`,
    );
}

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
    await work(poolMetadata(opened, pool));
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

import type { Command } from 'commander';
import { ThinError } from '../../errors/thin-error.js';

export interface SourceFlags {
  readonly metadata?: string;
  readonly data?: string;
  readonly metadataSnap?: boolean;
}

/** Where the old pool is: PATH among the operands, or options. */
export function withSource(command: Command): Command {
  return command
    .option('--metadata <path>', "the pool's metadata: a file or a block device")
    .option('--data <path>', "the pool's data: a file or a block device")
    .option('--metadata-snap', 'what the reserved metadata snapshot of a running pool shows');
}

/**
 * Tells PATH, which comes first and may be missing where --metadata is given, from `names.length` operands behind it.
 * Errors: invalid-argument.
 */
export function splitOperands<N extends readonly string[]>(
  operands: readonly string[],
  flags: SourceFlags,
  names: N,
): { readonly path: string | undefined; readonly rest: { readonly [K in keyof N]: string } } {
  const wanted = names.length;
  const hasPath = operands.length === wanted + 1;
  if (!hasPath && operands.length !== wanted)
    throw new ThinError(
      'invalid-argument',
      `${operands.length} operands where ${['PATH (or --metadata and --data)', ...names].join(', ')} ${wanted === 0 ? 'is' : 'are'} expected`,
    );
  if (!hasPath && flags.metadata === undefined)
    throw new ThinError(
      'invalid-argument',
      'name the old pool: a /var/lib/docker/devicemapper before everything else, or --metadata and --data',
    );
  const rest = hasPath ? operands.slice(1) : operands;
  return {
    path: hasPath ? operands[0] : undefined,
    rest: rest as unknown as { readonly [K in keyof N]: string },
  };
}

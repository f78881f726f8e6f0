import type { Command } from 'commander';
import type { DumpOverrides } from '../../legacy/tools/thin-dump.js';
import { parseCount } from '../snapshot-option.js';
import { requireKernel, type KernelFlags } from './flags.js';

/** Of --data-block-size, in bytes. */
const SECTOR = 512;

/** What a person knows better than a superblock. */
export interface SuperblockFlags {
  readonly transactionId?: string;
  readonly dataBlockSize?: string;
  readonly nrDataBlocks?: string;
}

/** `from`: what has the values that these replace. */
export function withSuperblockOptions(command: Command, from: string): Command {
  return command
    .option('--transaction-id <number>', from)
    .option('--data-block-size <sectors>', from)
    .option('--nr-data-blocks <number>', from);
}

/** @throws ThinError invalid-argument: they are for the kernel's metadata */
export function requireKernelSuperblock(flags: KernelFlags & SuperblockFlags): void {
  requireKernel(flags, {
    '--transaction-id': flags.transactionId,
    '--data-block-size': flags.dataBlockSize,
    '--nr-data-blocks': flags.nrDataBlocks,
  });
}

/** In the units of the flags. @throws ThinError invalid-argument */
export function superblockCounts({ transactionId, dataBlockSize, nrDataBlocks }: SuperblockFlags): {
  readonly transaction?: number;
  readonly dataBlockSize?: number;
  readonly dataBlocks?: number;
} {
  return {
    ...(transactionId !== undefined && { transaction: parseCount(transactionId, '--transaction-id') }),
    ...(dataBlockSize !== undefined && { dataBlockSize: parseCount(dataBlockSize, '--data-block-size') }),
    ...(nrDataBlocks !== undefined && { dataBlocks: parseCount(nrDataBlocks, '--nr-data-blocks') }),
  };
}

/** @throws ThinError invalid-argument */
export function kernelOverridesOf(flags: SuperblockFlags): DumpOverrides {
  const { transaction, dataBlockSize, dataBlocks } = superblockCounts(flags);
  return {
    transaction: transaction === undefined ? undefined : BigInt(transaction),
    blockSize: dataBlockSize === undefined ? undefined : SECTOR * dataBlockSize,
    dataBlocks,
  };
}

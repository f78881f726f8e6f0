import type { Command } from 'commander';
import { parseDeviceSize } from '../../config/limits.js';
import { parseSize } from '../../config/sizes.js';
import { ThinError } from '../../errors/thin-error.js';
import type { OpenRequest } from '../../legacy/old-device.js';
import type { SourceRequest } from '../../legacy/open-source.js';
import type { PoolOverrides } from '../../legacy/superblock-overrides.js';
import { note } from '../output.js';

/** Where an old pool is. */
export interface SourceFlags {
  readonly metadata?: string;
  readonly data?: string;
  readonly metadataSnap?: boolean;
  readonly blockSize?: string;
  readonly dataBlocks?: string;
  readonly mappingRoot?: string;
  readonly detailsRoot?: string;
  readonly search?: boolean;
}

/** How a device of it is opened. */
export interface DeviceFlags {
  readonly size?: string;
  readonly skipDamaged?: boolean;
  readonly externalOrigin?: string;
}

/** Where the old pool is: PATHs among the operands, or options. */
export function withSource(command: Command): Command {
  return command
    .option('--metadata <path>', "the pool's metadata: a file or a block device")
    .option('--data <path>', "the pool's data: a file or a block device")
    .option('--metadata-snap', 'read the reserved metadata snapshot of a running pool')
    .option('--block-size <size>', "bytes of a data block, in place of the superblock's value")
    .option('--data-blocks <count>', "blocks of the data, in place of the superblock's value")
    .option('--mapping-root <block>', 'metadata block of the root of the mappings of all devices')
    .option('--details-root <block>', 'metadata block of the root of the records of devices')
    .option('--search', 'if the superblock is lost: search for the newest pair of trees that fit');
}

/** How a device of the old pool is read. */
export function withDevice(command: Command): Command {
  return command
    .option('--size <size>', 'size of the device, if neither Docker nor its filesystem tells it')
    .option('--external-origin <file>', 'the content of blocks that the device does not map')
    .option(
      '--skip-damaged',
      'read damaged parts as zeroes, and list them; export and import then end with 1',
    );
}

/** Errors: invalid-argument. */
export function sourceOf(paths: readonly string[], flags: SourceFlags): SourceRequest {
  return {
    paths,
    metadata: flags.metadata,
    data: flags.data,
    heldRoot: flags.metadataSnap === true,
    search: flags.search === true,
    overrides: overridesOf(flags),
    onNote: note,
  };
}

function overridesOf(flags: SourceFlags): PoolOverrides {
  return {
    blockSize: flags.blockSize === undefined ? undefined : parseSize(flags.blockSize),
    dataBlocks: countOf(flags.dataBlocks, '--data-blocks'),
    mappingRoot: countOf(flags.mappingRoot, '--mapping-root'),
    detailsRoot: countOf(flags.detailsRoot, '--details-root'),
  };
}

function countOf(text: string | undefined, what: string): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count))
    throw new ThinError('invalid-argument', `${what} ${text} is not a number of a block; give digits`);
  return count;
}

/** Errors: invalid-argument. */
export function deviceOf({ size, skipDamaged, externalOrigin }: DeviceFlags): OpenRequest {
  return {
    size: size === undefined ? undefined : parseDeviceSize(size, '--size'),
    skipDamaged: skipDamaged === true,
    externalOrigin,
    onNote: note,
  };
}

/**
 * Tells PATHs, which come first and may be missing where --metadata is given, from `names.length` operands
 * behind them. Errors: invalid-argument.
 */
export function splitOperands<N extends readonly string[]>(
  operands: readonly string[],
  flags: SourceFlags,
  names: N,
): { readonly paths: readonly string[]; readonly rest: { readonly [K in keyof N]: string } } {
  const count = operands.length - names.length;
  if (count < 0)
    throw new ThinError(
      'invalid-argument',
      `${operands.length} operands where ${['PATH (or --metadata and --data)', ...names].join(', ')} are expected`,
    );
  if (count === 0 && flags.metadata === undefined)
    throw new ThinError(
      'invalid-argument',
      'name the old pool before everything else: a /var/lib/docker/devicemapper, or disks of LVM; or --metadata and --data',
    );
  return {
    paths: operands.slice(0, count),
    rest: operands.slice(count) as unknown as { readonly [K in keyof N]: string },
  };
}

/** A number; text where no number holds it, which only a made-up pool has. */
export function exact(value: bigint | undefined): number | string | undefined {
  if (value === undefined) return undefined;
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
}

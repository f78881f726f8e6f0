import path from 'node:path';
import type { Command } from 'commander';
import { DEFAULT_BLOCK_SIZE, DEFAULT_METADATA_SIZE, NEVER_EXTEND } from '../config/defaults.js';
import { MIN_FILESYSTEM_SIZE, parseBlockSize, parseDeviceSize } from '../config/limits.js';
import type { PoolOptions } from '../config/pool-options.js';
import { formatBinarySize } from '../config/sizes.js';
import { mergePoolOptions } from '../config/storage-options.js';
import type { DeviceStatus } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import type { MakePoolRequest } from '../daemon/make-pool.js';
import type { PoolInfo } from '../pool/info.js';
import { withTemporaryDaemon } from './connect.js';
import { contextOf, rootFlag, type Context } from './context.js';
import { deviceJson } from './device-json.js';
import { example } from './example.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { storageOptions, withStorageOptions, type StorageFlags } from './storage-flags.js';
import { whileWorking } from './progress.js';

interface InitOptions extends StorageFlags {
  readonly data?: string;
  readonly metadataDir?: string;
  readonly force?: boolean;
  readonly dataSize?: string;
  readonly metadataSize?: string;
  readonly blockSize?: string;
  readonly baseSize?: string;
  readonly fs?: string;
}

export function registerInitCommand(program: Command): void {
  withStorageOptions(
    program
      .command('init')
      .summary('make a pool')
      .description(
        'Makes a pool in the root, with a base device that has an empty filesystem. Changes nothing if it fails.',
      )
      .option(
        '--data <where>',
        'where chunks are kept: leveldb, beside the metadata, or the path of a block device or a file, made if it is not there (leveldb)',
      )
      .option(
        '--data-size <size>',
        'the size of the pool, which then does not grow by itself (100G, or the size of the device or file)',
      )
      .option('--metadata-dir <folder>', 'another place for the metadata, such as a faster disk')
      .option('--force', 'use a device or file that carries a signature; its content is lost')
      .option('--metadata-size <size>', 'limit of its metadata (2G)')
      .option('--block-size <size>', 'unit of allocation, from 64K to 1G; fixed for good (64K)')
      .option('--base-size <size>', 'size of the base device, and so of images made from it (10G)')
      .option('--fs <type>', 'filesystem of the base device: xfs or ext4 (xfs)'),
  )
    .addHelpText(
      'after',
      example(
        'thinfuse init',
        'thinfuse init --data /dev/sdb',
        'thinfuse init --compression zstd',
        'thinfuse init --fs ext4 --base-size 20G --opt dm.min_free_space=5%',
      ),
    )
    .action(async (options: InitOptions, command: Command) => {
      const context = contextOf(command);
      const request = await requestOf(options);
      const { base, info } = await interruptible((signal) =>
        whileWorking(context, 'making the pool', () => init(context, request, signal)),
      );
      printResult(
        context,
        {
          root: context.layout.root,
          kind: request.data === undefined ? 'leveldb' : 'direct',
          dataPath: request.data ?? null,
          dataSize: info.dataTotal,
          metadataSize: info.metadataTotal,
          blockSize: request.blockSize,
          base: deviceJson(base),
        },
        madeLines(context, request, info),
      );
    });
}

interface Made {
  readonly base: DeviceStatus;
  readonly info: PoolInfo;
}

function madeLines(context: Context, { data, options }: MakePoolRequest, info: PoolInfo): string {
  const { root } = context.layout;
  const size = formatBinarySize(info.dataTotal);
  const grows = options.autoextendThreshold < NEVER_EXTEND ? ', and grows' : '';
  return [
    `made a pool in ${root}; start it with: thinfuse start${rootFlag(context)}`,
    data === undefined
      ? `data: ${size} in LevelDB, packed with ${options.compression}${grows}`
      : `data: ${size} on ${data}`,
    `metadata: up to ${formatBinarySize(info.metadataTotal)} in ${context.layout.pool}`,
    `chunks of ${formatBinarySize(info.blockSize)}, a base device of ${formatBinarySize(info.baseSize)} with ${info.baseFilesystem}`,
  ].join('\n');
}

async function init(context: Context, request: MakePoolRequest, signal: AbortSignal): Promise<Made> {
  requireRoom(request.options);
  const { initPool } = await import('../daemon/init-pool.js');
  const complete = (): Promise<Made> =>
    withTemporaryDaemon(context, async (caller) => ({
      base: await caller.call('base.format', {}),
      info: await caller.call('pool.info', {}),
    }));
  return initPool(context.layout, request, { complete, signal, onNote: note });
}

async function requestOf(given: InitOptions): Promise<MakePoolRequest> {
  const { settings } = await storageOptions(given);
  const { directLvm, kernelPool = [] } = settings;
  const data = given.data === undefined ? (settings.dataPath ?? directLvm?.path) : pathOf(given.data);
  if (given.data === undefined && data === undefined && kernelPool.length > 0)
    throw new ThinError(
      'invalid-argument',
      `${kernelPool.join(' and ')}: thinfuse uses no kernel thin pool; name the disk or file for the chunks with --data PATH, or give --data leveldb for a pool in the folder of the root`,
      { details: { option: kernelPool[0]! } },
    );
  for (const warning of settings.warnings) note(warning);
  const force = given.force === true || (data === directLvm?.path && directLvm?.force === true);
  if (given.force === true && data === undefined)
    throw new ThinError('invalid-argument', '--force needs --data PATH: without it, init overwrites nothing');
  if (data !== undefined && (given.compression ?? 'off') !== 'off')
    throw new ThinError(
      'invalid-argument',
      `--compression ${given.compression}: a pool with --data PATH does not compress its chunks; leave it out`,
    );
  const { blockSize, dataSize, metadataSize, baseSize, fs } = given;
  if (fs !== undefined && fs !== 'xfs' && fs !== 'ext4')
    throw new ThinError('invalid-argument', `--fs ${fs}: devices can have xfs or ext4`);
  const givenDataSize = dataSize === undefined ? settings.dataSize : parseDeviceSize(dataSize, '--data-size');
  return {
    data: data === undefined ? undefined : path.resolve(data),
    force,
    dataSize: givenDataSize,
    metadataDir: given.metadataDir,
    blockSize:
      blockSize === undefined
        ? (settings.blockSize ?? DEFAULT_BLOCK_SIZE)
        : parseBlockSize(blockSize, '--block-size'),
    metadataSize:
      metadataSize === undefined
        ? (settings.metadataSize ?? DEFAULT_METADATA_SIZE)
        : parseDeviceSize(metadataSize, '--metadata-size'),
    options: mergePoolOptions({
      ...(givenDataSize === undefined ? {} : { autoextendThreshold: NEVER_EXTEND }),
      ...settings.pool,
      ...(baseSize === undefined ? {} : { baseSize: parseDeviceSize(baseSize, '--base-size') }),
      ...(fs === undefined ? {} : { filesystem: fs }),
    }),
  };
}

/** Undefined: the folder beside the metadata. */
function pathOf(data: string): string | undefined {
  return data === 'leveldb' ? undefined : data;
}

/** mkfs would say so, too, but only when everything else is there, and not in these words. */
function requireRoom({ filesystem, baseSize }: PoolOptions): void {
  const least = MIN_FILESYSTEM_SIZE[filesystem];
  if (baseSize < least)
    throw new ThinError(
      'invalid-argument',
      `a base device of ${formatBinarySize(baseSize)} is too small for ${filesystem}, which needs ${formatBinarySize(least)}; give a larger --base-size`,
    );
}

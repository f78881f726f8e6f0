import type { Command } from 'commander';
import { DEFAULT_BLOCK_SIZE, DEFAULT_DATA_SIZE, DEFAULT_METADATA_SIZE } from '../config/defaults.js';
import { parseBlockSize, parseDeviceSize } from '../config/limits.js';
import type { PoolOptions } from '../config/pool-options.js';
import { formatBinarySize } from '../config/sizes.js';
import { mergePoolOptions } from '../config/storage-options.js';
import { prepareRoot } from '../daemon/init-root.js';
import type { DeviceStatus } from '../daemon/api.js';
import { ThinError } from '../errors/thin-error.js';
import { requireFuseDevice } from '../fuse/mount-point.js';
import type { CreatePoolRequest } from '../pool/thin-pool.js';
import { withTemporaryDaemon } from './connect.js';
import { contextOf, rootFlag, type Context } from './context.js';
import { deviceJson } from './device-json.js';
import { example } from './example.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { storageOptions, withStorageOptions, type StorageFlags } from './storage-flags.js';

/** mkfs.xfs refuses less (xfsprogs 5.19); mkfs.ext4 makes no journal in less. */
const MIN_FILESYSTEM_SIZE = { xfs: 300 * 2 ** 20, ext4: 8 * 2 ** 20 } as const;

interface InitOptions extends StorageFlags {
  readonly data?: string;
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
        'Makes a pool in the root, with a base device that has an empty filesystem. Changes nothing where it fails.',
      )
      .option('--data <kind>', 'where chunks are kept: leveldb, beside the metadata')
      .option('--data-size <size>', 'what the pool can hold (100G)')
      .option('--metadata-size <size>', 'what its metadata may take (2G)')
      .option('--block-size <size>', 'unit of allocation, from 64K to 1G; fixed for good (64K)')
      .option('--base-size <size>', 'size of the base device, and so of images made from it (10G)')
      .option('--fs <type>', 'filesystem of the base device: xfs or ext4 (xfs)'),
  )
    .addHelpText(
      'after',
      example('thinfuse init', 'thinfuse init --fs ext4 --base-size 20G --opt dm.min_free_space=5%'),
    )
    .action(async (options: InitOptions, command: Command) => {
      const context = contextOf(command);
      const request = await requestOf(options, context.layout.pool);
      const base = await interruptible((signal) => init(context, request, signal));
      printResult(
        context,
        {
          root: context.layout.root,
          blockSize: request.blockSize,
          dataSize: request.dataSize,
          base: deviceJson(base),
        },
        `made a pool in ${context.layout.root}; start it with: thinfuse start${rootFlag(context)}`,
      );
    });
}

async function init(
  context: Context,
  request: CreatePoolRequest,
  signal: AbortSignal,
): Promise<DeviceStatus> {
  const { layout } = context;
  requireRoom(request.options);
  const { createPoolIn, requireHost } = await import('../daemon/composition.js');
  await requireHost(request.options.filesystem);
  await requireFuseDevice();
  const undo = await prepareRoot(layout);
  try {
    await createPoolIn(layout, request);
    signal.throwIfAborted();
    const base = await withTemporaryDaemon(context, (caller) => caller.call('base.format', {}));
    signal.throwIfAborted();
    return base;
  } catch (error) {
    await undo();
    throw signal.aborted && signal.reason instanceof ThinError ? signal.reason : error;
  }
}

async function requestOf(options: InitOptions, path: string): Promise<CreatePoolRequest> {
  if (options.data !== undefined && options.data !== 'leveldb')
    throw new ThinError(
      'unsupported',
      `--data ${options.data}: this version keeps chunks in LevelDB only; leave --data out`,
    );
  const { settings } = await storageOptions(options);
  for (const warning of settings.warnings) note(warning);
  if (settings.dataPath !== undefined)
    throw new ThinError('unsupported', `dm.datadev: this version keeps chunks in LevelDB only; leave it out`);
  const { blockSize, dataSize, metadataSize, baseSize, fs } = options;
  if (fs !== undefined && fs !== 'xfs' && fs !== 'ext4')
    throw new ThinError('invalid-argument', `--fs ${fs}: devices can have xfs or ext4`);
  return {
    path,
    blockSize:
      blockSize === undefined
        ? (settings.blockSize ?? DEFAULT_BLOCK_SIZE)
        : parseBlockSize(blockSize, '--block-size'),
    dataSize:
      dataSize === undefined
        ? (settings.dataSize ?? DEFAULT_DATA_SIZE)
        : parseDeviceSize(dataSize, '--data-size'),
    metadataSize:
      metadataSize === undefined
        ? (settings.metadataSize ?? DEFAULT_METADATA_SIZE)
        : parseDeviceSize(metadataSize, '--metadata-size'),
    options: mergePoolOptions({
      ...settings.pool,
      ...(baseSize === undefined ? {} : { baseSize: parseDeviceSize(baseSize, '--base-size') }),
      ...(fs === undefined ? {} : { filesystem: fs }),
    }),
  };
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

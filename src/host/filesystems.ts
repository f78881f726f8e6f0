import type { HostTool } from '../config/host-tools.js';

/** The filesystems that a device can carry. */
export type Filesystem = 'xfs' | 'ext4';

export interface Command {
  readonly tool: HostTool;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface FormatOptions {
  /** `dm.mkfsarg`. A UUID in it counts. */
  readonly extraArgs?: readonly string[];
  /** Of the device, in bytes. */
  readonly size?: number | undefined;
  /** Many devices start from it, which has only zeroes so far: as little as possible is written. */
  readonly template?: boolean | undefined;
}

/**
 * How to make a filesystem, first command first, with the arguments that Docker's driver gave (deviceset.go,
 * createFilesystem).
 */
export function formatCommands(
  filesystem: Filesystem,
  device: string,
  options: FormatOptions = {},
): readonly Command[] {
  const extra = options.extraArgs ?? [];
  const { template = false } = options;
  const own = extra.some((arg) => USERS_UUID.test(arg)) ? undefined : UUID[filesystem];
  if (filesystem === 'xfs')
    // -f: a device's former content is the caller's matter; mkfs.xfs would ask on finding some.
    return [
      {
        tool: 'mkfs.xfs',
        args: [
          '-f',
          ...(own === undefined ? [] : ['-m', `uuid=${own}`]),
          ...layoutOf(options),
          ...extra,
          device,
        ],
        env: FIXED_TIMES,
      },
    ];
  return [
    {
      tool: 'mkfs.ext4',
      args: [
        '-F',
        '-E',
        [
          'nodiscard',
          ...(template ? ['assume_storage_prezeroed=1'] : ['lazy_itable_init=0', 'lazy_journal_init=0']),
          ...(own === undefined ? [] : [`hash_seed=${own}`]),
        ].join(','),
        ...(template ? TEMPLATE_EXT4 : []),
        ...(own === undefined ? [] : ['-U', own]),
        ...extra,
        device,
      ],
      env: FIXED_TIMES,
    },
    // No check after so many mounts or days: a snapshot carries its origin's counters.
    { tool: 'tune2fs', args: ['-c', '-1', '-i', '0', device], env: FIXED_TIMES },
  ];
}

/**
 * The same for all: snapshots share their origin's UUID anyway, and each block of metadata has it or a
 * checksum that it is part of. With one of its own, no two pools would make an equal image of equal files.
 */
const UUID: Readonly<Record<Filesystem, string>> = {
  xfs: '7468696e-6675-8365-8000-000000786673',
  ext4: '7468696e-6675-8365-8000-000065787434',
};

/** What is made now is as of then: xfsprogs from 6.14 on, e2fsprogs from 1.47.1 on, and before it. */
const FIXED_TIMES = { SOURCE_DATE_EPOCH: '1', DETERMINISTIC_SEED: '1', E2FSPROGS_FAKE_TIME: '1' };

const USERS_UUID = /^-U|uuid=|hash_seed=/;

/** From here on, mkfs.xfs chooses the groups by itself. */
const LARGE_XFS = 4 * 2 ** 40;

/**
 * Files of 64 KiB and more begin at multiples of 64 KiB, a block of an image in a store: a file that is in
 * two images is the same blocks of both, whatever else they have. With as many groups as without: mkfs takes
 * a device that says such for many disks, and has no room for the log then.
 */
function layoutOf({ size = Infinity, extraArgs = [] }: FormatOptions): readonly string[] {
  const isUsers = extraArgs.some((arg) => /^-[dl]/.test(arg));
  return isUsers || size >= LARGE_XFS ? [] : ['-d', 'su=64k,sw=1,agcount=4', '-l', 'su=4k'];
}

/** 4 KiB blocks also below 512 MiB, and no share for root, which a container's root is. */
const TEMPLATE_EXT4 = ['-b', '4096', '-m', '0'];

/** The tools that `formatCommands` and `growCommand` need, to be asked for before anything is made. */
export function toolsOf(filesystem: Filesystem): readonly HostTool[] {
  return filesystem === 'xfs' ? ['mkfs.xfs', 'xfs_growfs'] : ['mkfs.ext4', 'tune2fs', 'resize2fs'];
}

/** Options of mount(8) that every filesystem takes. */
const COMMON_OPTIONS =
  /^(rw|async|sync|dirsync|(no)?(suid|dev|exec|atime|diratime|relatime|strictatime|lazytime|iversion|symfollow)|defaults)$/;

/** How a filesystem is told to leave its log alone, by its type; others have no such way. */
const SKIP_LOG: Readonly<Record<string, string>> = {
  xfs: 'norecovery',
  ext4: 'noload',
  ext3: 'noload',
  btrfs: 'rescue=nologreplay',
};

export function canSkipLog(type: string): boolean {
  return Object.hasOwn(SKIP_LOG, type);
}

/**
 * What follows `mount -o`. xfs always has `nouuid`, because snapshots share their origin's UUID. `skipLog`: a
 * read-only mount that leaves the log as it is, where the type has a way to. `extra`: `dm.mountopt`,
 * comma-separated; `foreign` keeps only those of them that any filesystem takes.
 */
export function mountOptions(
  type: string,
  options: { readOnly?: boolean; skipLog?: boolean; extra?: string; foreign?: boolean } = {},
): string {
  const extra = (options.extra ?? '').split(',').map((word) => word.trim());
  return [
    ...(type === 'xfs' ? ['nouuid'] : []),
    ...extra.filter((word) => word !== 'ro' && (options.foreign !== true || COMMON_OPTIONS.test(word))),
    // Behind the user's own, so that an `rw` among them cannot undo it.
    ...(options.readOnly === true ? ['ro'] : []),
    ...(options.skipLog === true ? [SKIP_LOG[type] ?? ''] : []),
  ]
    .filter((word) => word !== '')
    .join(',');
}

/** Grows a mounted filesystem to fill its device. */
export function growCommand(filesystem: Filesystem, mounted: { loop: string; target: string }): Command {
  return filesystem === 'xfs'
    ? { tool: 'xfs_growfs', args: ['-d', mounted.target] }
    : { tool: 'resize2fs', args: [mounted.loop] };
}

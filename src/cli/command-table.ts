import type { Command } from 'commander';
import { nearest } from '../config/nearest.js';
import { registerCloneCommand } from '../commands/clone-command.js';
import { registerDeviceCommands } from '../commands/device-commands.js';
import { registerListCommands } from '../commands/list-commands.js';
import { registerMountCommands } from '../commands/mount-commands.js';
import { registerSettingsCommands } from '../commands/settings-commands.js';
import { registerStatusCommand } from '../commands/status-command.js';

/** Headings of the help, in its order. */
export const GROUPS = {
  everyday: 'Everyday:',
  pool: 'The pool and its daemon:',
  look: 'Looking:',
  move: 'In and out:',
  care: 'Care and repair:',
  metadata: 'Metadata:',
  shell: 'For the shell:',
} as const;

type Register = (program: Command) => void;

/**
 * A module of `commands/`. Those of every day stand in the program's own file; the others are loaded only
 * where one of their commands is asked for, for they take longer to load than to run.
 */
export interface CommandModule {
  /** Its commands and their aliases, each with its place in the help. */
  readonly commands: Readonly<Record<string, keyof typeof GROUPS>>;
  /** It needs all commands. */
  readonly tellsAll?: boolean;
  readonly load: () => Register | Promise<Register>;
}

/** In the order of the help. */
export const COMMAND_MODULES: readonly CommandModule[] = [
  {
    commands: { init: 'everyday' },
    load: async () => (await import('../commands/init-command.js')).registerInitCommand,
  },
  {
    commands: { start: 'everyday', stop: 'everyday', restart: 'pool' },
    load: async () => (await import('../commands/daemon-commands.js')).registerDaemonCommands,
  },
  {
    commands: { status: 'everyday' },
    load: () => registerStatusCommand,
  },
  {
    commands: { image: 'everyday', container: 'everyday' },
    load: async () => (await import('../commands/image-commands.js')).registerImageCommands,
  },
  {
    commands: {
      snapshot: 'everyday',
      snap: 'everyday',
      rollback: 'everyday',
      wait: 'care',
      rename: 'everyday',
      grow: 'everyday',
      quota: 'everyday',
      limit: 'everyday',
      rm: 'everyday',
      delete: 'everyday',
      remove: 'everyday',
    },
    load: () => registerDeviceCommands,
  },
  {
    commands: { clone: 'everyday' },
    load: () => registerCloneCommand,
  },
  {
    commands: {
      activate: 'everyday',
      deactivate: 'everyday',
      mount: 'everyday',
      umount: 'everyday',
      unmount: 'everyday',
      trim: 'care',
    },
    load: () => registerMountCommands,
  },
  {
    commands: { automount: 'everyday', label: 'everyday' },
    load: async () => (await import('../commands/property-commands.js')).registerPropertyCommands,
  },
  {
    commands: { device: 'everyday', import: 'move' },
    load: async () => (await import('../commands/disk-commands.js')).registerDiskCommands,
  },
  {
    commands: { ls: 'everyday', list: 'everyday', tree: 'look', df: 'look', lsblk: 'look' },
    load: () => registerListCommands,
  },
  {
    commands: { info: 'look' },
    load: async () => (await import('../commands/info-command.js')).registerInfoCommand,
  },
  {
    commands: { diff: 'look' },
    load: async () => (await import('../commands/diff-commands.js')).registerDiffCommands,
  },
  {
    commands: { events: 'look', metrics: 'look' },
    load: async () => (await import('../commands/event-commands.js')).registerEventCommands,
  },
  {
    commands: { iostat: 'look', top: 'look' },
    load: async () => (await import('../commands/iostat-command.js')).registerIostatCommands,
  },
  {
    commands: { ui: 'look' },
    load: async () => (await import('../commands/ui-command.js')).registerUiCommand,
  },
  {
    commands: { export: 'move' },
    load: async () => (await import('../commands/export-command.js')).registerExportCommand,
  },
  {
    commands: { send: 'move' },
    load: async () => (await import('../commands/send-command.js')).registerSendCommand,
  },
  {
    commands: { receive: 'move' },
    load: async () => (await import('../commands/receive-command.js')).registerReceiveCommand,
  },
  {
    commands: { push: 'move' },
    load: async () => (await import('../commands/push-command.js')).registerPushCommand,
  },
  {
    commands: { pull: 'move' },
    load: async () => (await import('../commands/pull-command.js')).registerPullCommand,
  },
  {
    commands: { hydrate: 'move' },
    load: async () => (await import('../commands/hydrate-command.js')).registerHydrateCommand,
  },
  {
    commands: { remote: 'move' },
    load: async () => (await import('../commands/remote-commands.js')).registerRemoteCommands,
  },
  {
    commands: { legacy: 'move' },
    load: async () => (await import('../commands/legacy/command.js')).registerLegacyCommands,
  },
  {
    commands: { get: 'pool', set: 'pool' },
    load: () => registerSettingsCommands,
  },
  {
    commands: { extend: 'pool' },
    load: async () => (await import('../commands/extend-command.js')).registerExtendCommand,
  },
  {
    commands: { destroy: 'pool' },
    load: async () => (await import('../commands/destroy-command.js')).registerDestroyCommand,
  },
  {
    commands: { check: 'care' },
    load: async () => (await import('../commands/check-command.js')).registerCheckCommand,
  },
  {
    commands: { scrub: 'care' },
    load: async () => (await import('../commands/scrub-command.js')).registerScrubCommand,
  },
  {
    commands: { doctor: 'care' },
    load: async () => (await import('../commands/doctor-command.js')).registerDoctorCommand,
  },
  {
    commands: { dump: 'metadata' },
    load: async () => (await import('../commands/dump-command.js')).registerDumpCommand,
  },
  {
    commands: { restore: 'care' },
    load: async () => (await import('../commands/restore-command.js')).registerRestoreCommand,
  },
  {
    commands: { repair: 'care' },
    load: async () => (await import('../commands/repair-command.js')).registerRepairCommand,
  },
  {
    commands: { delta: 'metadata', rmap: 'metadata' },
    load: async () => (await import('../commands/mapping-commands.js')).registerMappingCommands,
  },
  {
    commands: {
      reserve: 'metadata',
      reserved: 'metadata',
      release: 'metadata',
      'set-transaction-id': 'metadata',
    },
    load: async () => (await import('../commands/metadata-snap-commands.js')).registerMetadataSnapCommands,
  },
  {
    commands: { 'metadata-pack': 'metadata', 'metadata-unpack': 'metadata' },
    load: async () => (await import('../commands/kernel/pack-commands.js')).registerPackCommands,
  },
  {
    commands: { discard: 'care', shrink: 'care' },
    load: async () => (await import('../commands/kernel/space-commands.js')).registerSpaceCommands,
  },
  {
    commands: { 'metadata-size': 'metadata' },
    load: async () => (await import('../commands/metadata-size-command.js')).registerMetadataSizeCommand,
  },
  {
    commands: { completion: 'shell', manual: 'shell', schema: 'shell' },
    tellsAll: true,
    load: async () => (await import('../commands/manual-commands.js')).registerManualCommands,
  },
];

export const VERSION: readonly string[] = ['-V', '--version'];

/** The modules that a command line needs: that of its command, or all, where it names none of theirs. */
export function modulesFor(argv: readonly string[]): readonly CommandModule[] {
  const word = commandWord(argv);
  if (word === undefined) return argv.some((each) => VERSION.includes(each)) ? [] : COMMAND_MODULES;
  const named = COMMAND_MODULES.filter(({ commands }) => Object.hasOwn(commands, word));
  return named.length === 0 || named.some(({ tellsAll }) => tellsAll) ? COMMAND_MODULES : named;
}

/** The first word that is neither an option of the program nor the value of one. */
export function commandWord(argv: readonly string[]): string | undefined {
  for (let at = 2; at < argv.length; at++) {
    const word = argv[at]!;
    if (word === '--root') at++;
    else if (!word.startsWith('-')) return word;
  }
  return undefined;
}

/** Words of other programs (LVM, ZFS, Docker, dmsetup, cp) for what a command or an option here does. */
export const OTHER_WORDS: Readonly<Record<string, readonly string[]>> = {
  backup: ['send', 'push'],
  convert: ['export', 'import'],
  copy: ['clone'],
  cp: ['clone'],
  create: ['snapshot', 'device create', 'container create'],
  del: ['rm'],
  discard: ['trim'],
  dmsetup: ['status'],
  download: ['pull'],
  erase: ['rm'],
  expand: ['grow'],
  extendfs: ['grow'],
  fork: ['clone'],
  fsck: ['check'],
  fstrim: ['trim'],
  history: ['events'],
  images: ['ls'],
  inspect: ['ls'],
  log: ['events'],
  logs: ['events'],
  lvchange: ['set'],
  lvcreate: ['device create', 'snapshot'],
  lvdisplay: ['ls'],
  lvextend: ['grow', 'extend'],
  lvremove: ['rm'],
  lvrename: ['rename'],
  lvresize: ['grow'],
  lvs: ['ls'],
  merge: ['rollback'],
  mnt: ['mount'],
  new: ['snapshot', 'device create'],
  ps: ['ls'],
  pvs: ['status'],
  resize: ['grow'],
  revert: ['rollback'],
  run: ['container'],
  show: ['info'],
  stats: ['iostat'],
  upload: ['push'],
  usage: ['df'],
  verify: ['check'],
  version: ['--version'],
  vgcreate: ['init'],
  vgextend: ['extend'],
  vgremove: ['destroy'],
  vgs: ['status'],
  wipe: ['destroy'],
  zpool: ['status'],
};

/** Commands that a word may mean that is none. */
export function commandsLike(word: string): readonly string[] {
  const known = COMMAND_MODULES.flatMap(({ commands }) => Object.keys(commands));
  const other = Object.hasOwn(OTHER_WORDS, word.toLowerCase()) ? OTHER_WORDS[word.toLowerCase()]! : [];
  return [...new Set([...other, ...nearest(word, known)])];
}

import type { Command } from 'commander';
import { ThinError } from '../errors/thin-error.js';
import { repeatedText } from './repeated.js';

export interface MountFlags {
  readonly ro?: boolean;
  /** As `mount -o`; may be repeated. */
  readonly options?: readonly string[];
  readonly allowOther?: boolean;
}

export interface PermissionFlags {
  readonly mode?: string;
  readonly owner?: string;
}

/** Words of fstab(5) that are about the line, and not about the mount. */
const WORDS_OF_FSTAB =
  /^(?:rw|defaults|auto|noauto|nofail|_netdev|user|users|nouser|owner|group|comment=.*|x-.*)$/i;

export function withMountFlags(command: Command): Command {
  return command
    .option(
      '-o, --options <words>',
      "options of mount(8), such as noatime,nodev; they come behind the pool's own",
      repeatedText,
    )
    .option(
      '--allow-other',
      'let users other than root reach it; without a target, on shared/ID in the root instead of mnt/ID',
    );
}

export function withPermissionFlags(command: Command): Command {
  return command
    .option('--mode <mode>', 'mode of the root of its filesystem, such as 1777; the filesystem keeps it')
    .option('--owner <uid[:gid]>', 'of the same');
}

/** What the flags say of a mount: `ro` among the options is `--ro`, `allow_other` is `--allow-other`. */
export function mountAsk({ ro = false, options = [], allowOther = false }: MountFlags): {
  readonly readOnly: boolean;
  readonly options: string;
  readonly allowOther: boolean;
} {
  const words = options.flatMap((text) => text.split(',')).filter((word) => word !== '');
  const strange = words.find((word) => !/^[\x21-\x7e]+$/.test(word));
  if (strange !== undefined)
    throw new ThinError('invalid-argument', `${JSON.stringify(strange)} is not an option of mount(8)`);
  const isKept = (word: string): boolean =>
    word !== 'ro' && word !== 'allow_other' && !WORDS_OF_FSTAB.test(word);
  return {
    readOnly: ro || words.includes('ro'),
    options: words.filter(isKept).join(','),
    allowOther: allowOther || words.includes('allow_other'),
  };
}

/** Undefined: they say nothing. @throws ThinError invalid-argument */
export function permissionsOf({
  mode,
  owner,
}: PermissionFlags): { readonly mode?: number; readonly uid?: number; readonly gid?: number } | undefined {
  if (mode === undefined && owner === undefined) return undefined;
  if (mode !== undefined && !/^[0-7]{1,4}$/.test(mode))
    throw new ThinError('invalid-argument', `--mode ${mode}: give it in octal, such as 0755 or 1777`);
  const [, uid, gid] = /^(\d{1,9})?(?::(\d{1,9}))?$/.exec(owner ?? '') ?? [];
  if (owner !== undefined && uid === undefined && gid === undefined)
    throw new ThinError(
      'invalid-argument',
      `--owner ${owner}: give numbers, as 999:999 or 999 or :999 (id -u NAME, id -g NAME)`,
    );
  return {
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
    ...(uid === undefined ? {} : { uid: Number(uid) }),
    ...(gid === undefined ? {} : { gid: Number(gid) }),
  };
}

import path from 'node:path';

/** Called under this name, the program is the helper that mount(8) runs for `-t thinfuse`. */
const HELPER = 'mount.thinfuse';

/** Of mount(8): the mount failed. */
export const MOUNT_FAILED = 32;

/** Options of fstab that are flags of the command `mount`. */
const FLAGS: Readonly<Record<string, string>> = { root: '--root', mode: '--mode', owner: '--owner' };

export function isMountHelper(argv: readonly string[]): boolean {
  return path.basename(argv[1] ?? '') === HELPER;
}

/**
 * The command line (in `process.argv`'s form) for what mount(8) asks of a helper: `mount.thinfuse DEVICE
 * FOLDER [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`. Undefined: nothing is to be done (`-f`).
 */
export function mountHelperArguments(argv: readonly string[]): readonly string[] | undefined {
  const [node = '', program = '', ...rest] = argv;
  const places: string[] = [];
  const words: string[] = [];
  let pretend = false;
  for (let at = 0; at < rest.length; at++) {
    const word = rest[at]!;
    if (word === '-o') words.push(...(rest[++at] ?? '').split(','));
    else if (word === '-t' || word === '-N') at++;
    else if (/^-[sfnvrw]+$/.test(word)) {
      pretend ||= word.includes('f');
      if (word.includes('r')) words.push('ro');
    } else places.push(word);
  }
  if (pretend) return undefined;
  const flags: string[] = [];
  const options = words.filter((word) => {
    const [, key = '', value] = /^([a-z]+)=(.*)$/.exec(word) ?? [];
    const flag = Object.hasOwn(FLAGS, key) ? FLAGS[key] : undefined;
    if (flag === undefined || value === undefined) return word !== '';
    flags.push(flag, value);
    return false;
  });
  const told = options.length === 0 ? [] : ['--options', options.join(',')];
  return [node, program, 'mount', ...flags, ...told, '--', ...places];
}

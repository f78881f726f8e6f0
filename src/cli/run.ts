import { CommanderError } from 'commander';
import { complain } from '../commands/output.js';
import { standardError } from '../commands/standard-stream.js';
import { packError } from '../api/wire.js';
import { isNodeEnough, nodeNeeded } from '../config/version.js';
import { MOUNT_FAILED, mountHelperArguments } from '../commands/mount-helper.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { commandWord } from './command-table.js';
import { buildProgram } from './program.js';
import { withRoot } from './root-hints.js';
import {
  namedCommand,
  requireKnown,
  UnknownCommand,
  usageError,
  usageHint,
  withHelpFlag,
  type NamedCommand,
} from './usage-error.js';

/** Commander's own ends that are no failure: help and version. */
const FINE = new Set(['commander.help', 'commander.helpDisplayed', 'commander.version']);

/** Of a process that SIGPIPE ended, as a shell tells it. */
export const READER_GONE = new ThinError('reader-gone', '').exitCode;

/**
 * Does what the arguments ask (`process.argv`'s form) and tells failures on standard error.
 * @returns the exit code; READER_GONE if the reader of either stream is gone
 */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const code = await carryOut(argv);
  return standardError.readerGone ? READER_GONE : code;
}

/**
 * Does what mount(8) asks of its helper (`commands/mount-helper.ts`).
 * @returns the exit code as mount(8) has them
 */
export async function runMountHelper(argv: readonly string[]): Promise<number> {
  const translated = mountHelperArguments(argv);
  if (translated === undefined) return 0;
  return (await runCommandLine(translated)) === 0 ? 0 : MOUNT_FAILED;
}

async function carryOut(given: readonly string[]): Promise<number> {
  const argv = withHelpFlag(given);
  const json = wantsJson(argv);
  let named: NamedCommand | undefined;
  try {
    requireNode(commandWord(argv));
    const program = await buildProgram(argv);
    named = namedCommand(program, argv);
    requireKnown(named);
    await program.parseAsync([...argv]);
    return 0;
  } catch (thrown) {
    if (thrown instanceof CommanderError && (thrown.exitCode === 0 || FINE.has(thrown.code)))
      return thrown.exitCode === 0 ? 0 : 2;
    const usage = thrown instanceof CommanderError || thrown instanceof UnknownCommand;
    const error = withRoot(thrown instanceof CommanderError ? usageError(thrown) : toThinError(thrown), argv);
    if (error.code === 'reader-gone') return READER_GONE;
    if (json) complain(`${JSON.stringify(packError(error))}\n`);
    // Without a message: it was told in other words.
    else if (error.message !== '')
      complain(`thinfuse: ${error.message}\n${usage ? `${usageHint(named)}\n` : ''}`);
    if (error.code === 'internal' && process.env['THINFUSE_DEBUG'] !== undefined)
      complain(`${thrown instanceof Error ? (thrown.stack ?? '') : ''}\n`);
    return error.exitCode;
  }
}

/**
 * npm installs the package for an older Node.js with a warning only. There a command would end with whatever
 * it misses first; the one that looks at the host works everywhere.
 * @throws ThinError unsupported
 */
export function requireNode(command: string | undefined, node = process.versions.node): void {
  if (command === undefined || command === 'doctor' || isNodeEnough(node)) return;
  throw new ThinError(
    'unsupported',
    `this is Node.js ${node}, and thinfuse needs ${nodeNeeded()} or newer; install that, then look at the rest with: thinfuse doctor --host`,
  );
}

/**
 * Known before the arguments are understood, because their errors too are told in the form that was asked
 * for.
 */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(2, end === -1 ? undefined : end).includes('--json');
}

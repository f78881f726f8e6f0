import { CommanderError } from 'commander';
import { complain } from '../commands/output.js';
import { standardError } from '../commands/standard-stream.js';
import { packError } from '../api/wire.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { buildProgram } from './program.js';

/** Commander's own ends that are no failure: help and version. */
const FINE = new Set(['commander.help', 'commander.helpDisplayed', 'commander.version']);

/** Of a process that SIGPIPE ended, as a shell tells it. */
export const READER_GONE = new ThinError('reader-gone', '').exitCode;

/**
 * Does what the arguments ask (`process.argv`'s form) and tells failures on standard error.
 * @returns the exit code; READER_GONE where nobody reads any more what is told, on either stream
 */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const code = await carryOut(argv);
  return standardError.readerGone ? READER_GONE : code;
}

async function carryOut(argv: readonly string[]): Promise<number> {
  const json = wantsJson(argv);
  try {
    const program = await buildProgram({ quiet: json, argv });
    await program.parseAsync([...argv]);
    return 0;
  } catch (thrown) {
    if (thrown instanceof CommanderError && (thrown.exitCode === 0 || FINE.has(thrown.code)))
      return thrown.exitCode === 0 ? 0 : 2;
    const usage = thrown instanceof CommanderError;
    const error = usage ? usageError(thrown) : toThinError(thrown);
    if (error.code === 'reader-gone') return READER_GONE;
    if (json) complain(`${JSON.stringify(packError(error))}\n`);
    // Without a message: it was told in other words.
    else if (!usage && error.message !== '') complain(`thinfuse: ${error.message}\n`);
    if (error.code === 'internal' && process.env['THINFUSE_DEBUG'] !== undefined)
      complain(`${thrown instanceof Error ? (thrown.stack ?? '') : ''}\n`);
    return error.exitCode;
  }
}

function usageError({ message }: CommanderError): ThinError {
  return new ThinError('invalid-argument', message.replace(/^error: /, ''));
}

/**
 * Known before the arguments are understood, because their errors too are told in the form that was asked
 * for.
 */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(2, end === -1 ? undefined : end).includes('--json');
}

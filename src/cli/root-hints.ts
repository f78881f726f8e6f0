import { ThinError } from '../errors/thin-error.js';
import { COMMAND_MODULES } from './command-table.js';

/** `thinfuse COMMAND …` in a message, to the end of what it is part of. */
const HINT = /\bthinfuse (?=[a-z])([^;,()\n]*)/g;

/**
 * The error with the `--root` that was given in each command that it recommends. What the environment gives
 * is there again.
 */
export function withRoot(error: ThinError, argv: readonly string[]): ThinError {
  const root = givenRoot(argv);
  if (root === undefined) return error;
  const message = error.message.replaceAll(HINT, (hint: string, command: string) =>
    isCommand(command) && !hint.includes('--root') ? `thinfuse --root ${quoted(root)} ${command}` : hint,
  );
  return message === error.message
    ? error
    : new ThinError(error.code, message, { cause: error, details: { ...error.details } });
}

/** Prose about the program goes on with other words. */
function isCommand(text: string): boolean {
  const [word = ''] = text.split(' ');
  return COMMAND_MODULES.some(({ commands }) => Object.hasOwn(commands, word));
}

function givenRoot(argv: readonly string[]): string | undefined {
  const end = argv.indexOf('--');
  const words = argv.slice(2, end === -1 ? undefined : end);
  const at = words.indexOf('--root');
  if (at !== -1) return words[at + 1];
  return words.find((word) => word.startsWith('--root='))?.slice('--root='.length);
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

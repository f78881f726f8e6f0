import type { Command, CommanderError } from 'commander';
import { nearest } from '../config/nearest.js';
import { ThinError } from '../errors/thin-error.js';
import { commandsLike } from './command-table.js';

/** `help A B` as `A B --help`, which knows what is below A. */
export function withHelpFlag(argv: readonly string[]): readonly string[] {
  const at = wordsAt(argv).find((each, index) => index === 0 && argv[each] === 'help');
  if (at === undefined) return argv;
  return [...argv.slice(0, at), ...argv.slice(at + 1).filter((word) => word !== 'help'), '--help'];
}

/** As far as the words of a command line name commands. */
export interface NamedCommand {
  readonly command: Command;
  /** What should have named one below `command`. */
  readonly unknown: string | undefined;
}

export function namedCommand(program: Command, argv: readonly string[]): NamedCommand {
  let command = program;
  for (const at of wordsAt(argv)) {
    if (command.commands.length === 0) break;
    const word = argv[at]!;
    const next = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
    if (next === undefined) return { command, unknown: word };
    command = next;
  }
  return { command, unknown: undefined };
}

/** A word where a command is to be, and that names none. Its code is `invalid-argument`. */
export class UnknownCommand extends ThinError {
  constructor(word: string, near: readonly string[]) {
    super('invalid-argument', `unknown command '${word}'${guesses(near)}`, { details: suggested(near) });
  }
}

/** @throws UnknownCommand also where `--help` stands beside the word, which commander would answer */
export function requireKnown({ command, unknown }: NamedCommand): void {
  if (unknown === undefined) return;
  const near =
    command.parent === null
      ? commandsLike(unknown)
      : nearest(
          unknown,
          command.commands.flatMap((each) => [each.name(), ...each.aliases()]),
        );
  throw new UnknownCommand(unknown, near);
}

/** What is meant by an argument of a command that takes none. */
const TAKES_NONE: Readonly<Record<string, string>> = {
  destroy: 'it ends the whole pool, and thinfuse rm removes a device',
  df: 'it tells of the pool, and thinfuse ls NAME of a device',
  info: 'it tells of the pool, and thinfuse ls NAME of a device',
  init: 'the pool is made in --root, with --data-size bytes or on --data FILE',
  status: 'it tells of the pool, and thinfuse ls NAME of a device',
};

/** With what may have been meant, for people in the message and for scripts in the details. */
export function usageError({ message }: CommanderError): ThinError {
  const [said = '', guess] = message.replace(/^error: /, '').split(/\n?\(Did you mean (?:one of )?(.*)\?\)/);
  if (guess !== undefined) return withGuesses(said, guess.split(', '));
  const [, given, choices] = /'([^']*)' is invalid.* Allowed choices are (.*)\.$/.exec(said) ?? [];
  const [, command = ''] = /^too many arguments for '(.*?)'/.exec(said) ?? [];
  if (Object.hasOwn(TAKES_NONE, command))
    return withGuesses(`${said.replace(/\.$/, '')}; ${TAKES_NONE[command]}`, []);
  const near = given === undefined || choices === undefined ? [] : nearest(given, choices.split(', '));
  return withGuesses(near.length === 0 ? said : said.replace(/\.$/, ''), near);
}

/** Where to read on after an error of usage. */
export function usageHint(named: NamedCommand | undefined): string {
  const command = named?.command;
  if (command === undefined || command.parent === null) return '(thinfuse --help lists commands and options)';
  const names: string[] = [];
  for (let each: Command | null = command; each !== null; each = each.parent) names.unshift(each.name());
  return `(${names.join(' ')} --help shows how it is used)`;
}

function withGuesses(said: string, near: readonly string[]): ThinError {
  return new ThinError('invalid-argument', `${said}${guesses(near)}`, { details: suggested(near) });
}

function guesses(near: readonly string[]): string {
  return near.length === 0 ? '' : `; did you mean ${near.join(', ')}?`;
}

function suggested([first]: readonly string[]): { readonly suggestion?: string } {
  return first === undefined ? {} : { suggestion: first };
}

/** Where the words are that are neither options of the program nor values of those. */
function wordsAt(argv: readonly string[]): readonly number[] {
  const found: number[] = [];
  for (let at = 2; at < argv.length && argv[at] !== '--'; at++)
    if (argv[at] === '--root') at++;
    else if (!argv[at]!.startsWith('-')) found.push(at);
  return found;
}

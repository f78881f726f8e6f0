import type { Argument, Command, Option } from 'commander';

/** What can follow on the command line, as far as a shell can complete it. */
export type Completion =
  | { readonly kind: 'choices'; readonly choices: readonly string[] }
  | { readonly kind: 'devices' | 'images' | 'containers' | 'files' | 'folders' | 'places' | 'nothing' };

export interface ArgumentFacts {
  readonly name: string;
  readonly description: string;
  readonly required: boolean;
  readonly variadic: boolean;
  readonly completion: Completion;
}

export interface OptionFacts {
  /** Every way to write it, with its dashes, short ones first. */
  readonly flags: readonly string[];
  readonly description: string;
  /** Undefined: a switch. */
  readonly value: { readonly name: string; readonly optional: boolean } | undefined;
  /** The command cannot do without it. */
  readonly mandatory: boolean;
  readonly completion: Completion;
  readonly defaultValue: string | undefined;
  readonly env: string | undefined;
}

/** One command, free of commander: what the man page and the completions are made of. */
export interface CommandFacts {
  /** Without the program's own name; empty for the program. */
  readonly path: readonly string[];
  /** Other words for the last of them. */
  readonly aliases: readonly string[];
  readonly summary: string;
  readonly description: string;
  readonly args: readonly ArgumentFacts[];
  /** Its own ones, hidden ones left out. */
  readonly options: readonly OptionFacts[];
  /** Command lines from the end of its help. */
  readonly examples: readonly string[];
  readonly commands: readonly CommandFacts[];
}

/** By the names that arguments and the values of options have in this program's help. */
const KINDS: Readonly<Record<string, Exclude<Completion['kind'], 'choices' | 'nothing'>>> = {
  // More devices, or a folder.
  more: 'places',
  id: 'devices',
  origin: 'devices',
  a: 'devices',
  b: 'devices',
  container: 'containers',
  device: 'devices',
  snapshot: 'devices',
  image: 'images',
  parent: 'images',
  volume: 'devices',
  folder: 'folders',
  target: 'folders',
  root: 'folders',
  file: 'files',
  path: 'files',
  socket: 'files',
  where: 'files',
  'daemon.json': 'files',
};

/**
 * What can stand for an option (by its long flag) or an argument (by its name) whose values the program
 * checks itself.
 */
export type KnownValues = Readonly<Record<string, readonly string[]>>;

/** @param command the program itself, as `buildProgram` makes it */
export function commandTree(command: Command, values: KnownValues = {}): CommandFacts {
  return factsOf(command, [], values);
}

/** Every command that does something, in the order of the help. */
export function leaves(tree: CommandFacts): readonly CommandFacts[] {
  return tree.commands.length === 0 ? [tree] : tree.commands.flatMap(leaves);
}

/** The program's options that mean something behind a command, too. */
export function globalOptions(tree: CommandFacts): readonly OptionFacts[] {
  return tree.options.filter(({ flags }) => !flags.includes('--version'));
}

function factsOf(command: Command, path: readonly string[], values: KnownValues): CommandFacts {
  const help = command.createHelp();
  return {
    path,
    aliases: command.aliases(),
    summary: command.summary() === '' ? command.description() : command.summary(),
    description: command.description(),
    args: command.registeredArguments.map((argument) => argumentFacts(argument, path, values)),
    options: command.options.filter(({ hidden }) => !hidden).map((option) => optionFacts(option, values)),
    examples: examplesOf(command),
    commands: help
      .visibleCommands(command)
      .filter((child) => child.name() !== 'help')
      .map((child) => factsOf(child, [...path, child.name()], values)),
  };
}

/** Commands below these are of one kind of device. */
const KINDS_BELOW: Readonly<Record<string, 'images' | 'containers'>> = {
  image: 'images',
  container: 'containers',
};

function argumentFacts(argument: Argument, path: readonly string[], values: KnownValues): ArgumentFacts {
  const name = argument.name();
  const completion = completionOf(name, argument.argChoices ?? values[name]);
  const below = KINDS_BELOW[path[0] ?? ''];
  return {
    name,
    description: argument.description,
    required: argument.required,
    variadic: argument.variadic,
    completion: completion.kind === 'devices' && below !== undefined ? { kind: below } : completion,
  };
}

function optionFacts(option: Option, values: KnownValues): OptionFacts {
  const valued = option.required || option.optional;
  const name = /[<[]([^>\]]+)/.exec(option.flags)?.[1] ?? '';
  const given: unknown = option.defaultValue;
  return {
    flags: option.flags.split(/[ ,|]+/).filter((word) => word.startsWith('-')),
    description: option.description,
    value: valued ? { name, optional: option.optional } : undefined,
    mandatory: option.mandatory,
    completion: valued
      ? completionOf(name, option.argChoices ?? values[option.long ?? ''])
      : { kind: 'nothing' },
    defaultValue: typeof given === 'string' ? given : undefined,
    env: option.envVar,
  };
}

function completionOf(name: string, choices: readonly string[] | undefined): Completion {
  if (choices !== undefined) return { kind: 'choices', choices };
  return { kind: KINDS[name.replace(/\.\.\.$/, '')] ?? 'nothing' };
}

/** Help texts are known to commander's help alone, so they are read where it prints them. */
function examplesOf(command: Command): readonly string[] {
  const before = command.configureOutput();
  let text = '';
  command.configureOutput({
    ...before,
    writeOut: (piece) => {
      text += piece;
    },
  });
  command.outputHelp();
  command.configureOutput(before);
  const [, after = ''] = text.split('\nExample:\n');
  return [...after.matchAll(/^ {2}\$ (.*)$/gm)].map(([, line = '']) => line);
}

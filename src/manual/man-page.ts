import {
  globalOptions,
  leaves,
  type ArgumentFacts,
  type CommandFacts,
  type OptionFacts,
} from './command-tree.js';

export interface ManPageText {
  /** `thinfuse` */
  readonly name: string;
  readonly version: string;
  /** As mdoc has them: `November 25, 2026`. */
  readonly date: string;
  /** What each exit code means, in order. */
  readonly exitCodes: readonly (readonly [code: number, meaning: string])[];
  /** Paths, and what is there. */
  readonly files: readonly (readonly [path: string, meaning: string])[];
}

/** A page of section 8 in mdoc(7), which man-db and mandoc both show. */
export function manPage(tree: CommandFacts, text: ManPageText): string {
  const { name } = text;
  const commands = leaves(tree);
  return lines([
    `.\\" Made from the command line's own help by: ${name} manual`,
    `.Dd ${text.date}`,
    // groff calls the manual BSD's otherwise; behind .Dd, which loads what would set it again.
    '.ds doc-volume-operating-system Linux',
    `.Dt ${name.toUpperCase()} 8`,
    // What runs it; mandoc would name the system that shows the page otherwise.
    '.Os Linux',
    '.Sh NAME',
    `.Nm ${name}`,
    `.Nd ${plain(tree.description.replace(/\.$/, ''))}`,
    '.Sh SYNOPSIS',
    ...commands.map((command) => ['.Nm', ...synopsis(command)].join('\n')),
    '.Sh DESCRIPTION',
    paragraph(tree.description),
    'These options go with every command:',
    ...optionList(globalOptions(tree)),
    '.Sh COMMANDS',
    ...commands.flatMap(section),
    ...environment(tree),
    '.Sh FILES',
    ...definitions(text.files.map(([path, meaning]) => [`Pa ${macroText(path)}`, meaning])),
    '.Sh EXIT STATUS',
    ...definitions(text.exitCodes.map(([code, meaning]) => [`Li ${code}`, meaning])),
    '.Sh EXAMPLES',
    ...exampleLines(tree.examples),
    '.Sh SEE ALSO',
    '.Xr lvmthin 7 ,',
    '.Xr dmsetup 8 ,',
    '.Xr losetup 8 ,',
    '.Xr mount 8',
    '.Sh HISTORY',
    `This page belongs to ${plain(name)} ${plain(text.version)}.`,
  ]);
}

function section(command: CommandFacts): readonly string[] {
  const described = command.args.filter(({ description }) => description !== '');
  return [
    `.Ss ${macroText(command.path.join(' '))}`,
    // Without the name, which the headline of the page has.
    synopsis(command).join('\n'),
    '.Pp',
    paragraph(command.description),
    ...definitions(described.map((argument) => [`Ar ${macroText(argument.name)}`, argument.description])),
    ...optionList(command.options),
    '.Pp',
    ...exampleLines(command.examples),
  ];
}

function synopsis(command: CommandFacts): readonly string[] {
  return [
    ...command.path.map((word) => `.Cm ${macroText(word)}`),
    ...command.options.map((option) => `.${option.mandatory ? '' : 'Op '}${optionMacros(option)}`),
    ...command.args.map(argumentMacro),
  ];
}

function argumentMacro({ name, required, variadic }: ArgumentFacts): string {
  const macro = `Ar ${macroText(name)}${variadic ? ' ...' : ''}`;
  return required ? `.${macro}` : `.Op ${macro}`;
}

function optionMacros({ flags, value }: OptionFacts): string {
  // mdoc writes one dash itself.
  const words = flags.map((flag) => `Fl ${macroText(flag.slice(1))}`).join(' | ');
  if (value === undefined) return words;
  return `${words} ${value.optional ? `Oo Ar ${macroText(value.name)} Oc` : `Ar ${macroText(value.name)}`}`;
}

function optionList(options: readonly OptionFacts[]): readonly string[] {
  return definitions(options.map((option) => [optionMacros(option), optionText(option)]));
}

function optionText({ description, completion, defaultValue, env }: OptionFacts): string {
  const more = [
    ...(completion.kind === 'choices' ? [`one of ${completion.choices.join(', ')}`] : []),
    ...(defaultValue === undefined ? [] : [`default: ${defaultValue}`]),
    ...(env === undefined ? [] : [`environment: ${env}`]),
  ];
  return more.length === 0 ? description : `${description} (${more.join('; ')})`;
}

function environment(tree: CommandFacts): readonly string[] {
  const known = [tree, ...leaves(tree)].flatMap(({ options }) => options);
  const rows = known.flatMap(({ env, flags, description }) =>
    env === undefined ? [] : [[`Ev ${env}`, `${description}, as ${flags.at(-1) ?? ''}`] as const],
  );
  return rows.length === 0 ? [] : ['.Sh ENVIRONMENT', ...definitions(rows)];
}

function definitions(rows: readonly (readonly [item: string, text: string])[]): readonly string[] {
  if (rows.length === 0) return [];
  return [
    '.Bl -tag -width indent',
    ...rows.flatMap(([item, text]) => [`.It ${item}`, paragraph(text)]),
    '.El',
  ];
}

function exampleLines(examples: readonly string[]): readonly string[] {
  if (examples.length === 0) return [];
  return ['.Bd -literal -offset indent -compact', ...examples.map((line) => plain(`# ${line}`)), '.Ed'];
}

function paragraph(text: string): string {
  return text === ''
    ? '.Pp'
    : text
        .replace(/\n+/g, ' ')
        // A sentence a line, so that its end is set as one.
        .split(/(?<=\.) (?=[A-Z])/)
        .map(plain)
        .join('\n');
}

/**
 * Text of a line of its own: roff reads a dot or apostrophe at its start as a request, and a backslash as an
 * escape.
 */
function plain(text: string): string {
  return escaped(text).replace(/^[.']/, '\\&$&');
}

/** Text in a macro's line, where whole words could be macros again. */
function macroText(text: string): string {
  return text
    .split(' ')
    .map((word) => `${/^([A-Z][a-z]|[.,:;()[\]?!|])/.test(word) ? '\\&' : ''}${escaped(word)}`)
    .join(' ');
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('"', '\\(dq');
}

function lines(all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}

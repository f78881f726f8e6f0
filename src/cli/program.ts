import { isatty } from 'node:tty';
import { Command, Option } from 'commander';
import { DEFAULT_ROOT } from '../config/defaults.js';
import { COMMAND_MODULES, GROUPS, modulesFor, VERSION, type CommandModule } from './command-table.js';
import { example } from '../commands/example.js';
import { complain } from '../commands/output.js';
import { standardOutput } from '../commands/standard-stream.js';
import { version } from '../config/version.js';

/** Columns of help that no terminal shows. */
const DEFAULT_WIDTH = 80;

const ORDER = Object.keys(GROUPS) as readonly (keyof typeof GROUPS)[];

/**
 * The command line. It prints help itself; errors are its caller's to tell.
 * @param argv as `process.argv`. Given: only with the command that it names
 */
export async function buildProgram(argv?: readonly string[]): Promise<Command> {
  const program = new Command('thinfuse')
    .description('A device-mapper thin pool in userspace: instant writable snapshots of real filesystems.')
    .version(version(), VERSION.join(', '))
    .addOption(
      new Option('--root <folder>', 'the folder of the pool').env('THINFUSE_ROOT').default(DEFAULT_ROOT),
    )
    .option('--json', 'results and errors as JSON')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .exitOverride();
  // Commander itself asks `process.stdout`, which changes a pipe by being looked at.
  program.configureOutput({
    writeOut: (text) => standardOutput.write(text),
    // What a group of commands without a command prints is help.
    writeErr: (text) => (text.startsWith('Usage:') ? complain(text) : undefined),
    getOutHelpWidth: () => (isatty(1) ? process.stdout.columns : DEFAULT_WIDTH),
    getErrHelpWidth: () => (isatty(2) ? process.stderr.columns : DEFAULT_WIDTH),
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });
  const modules = argv === undefined ? COMMAND_MODULES : modulesFor(argv);
  for (const register of await Promise.all(modules.map(async ({ load }) => load()))) register(program);
  const groups = Object.assign({}, ...modules.map(({ commands }) => commands)) as CommandModule['commands'];
  const place = (command: Command): number => ORDER.indexOf(groups[command.name()]!);
  for (const command of program.commands) command.helpGroup(GROUPS[groups[command.name()]!]);
  (program.commands as Command[]).sort((a, b) => place(a) - place(b));
  return program.addHelpText(
    'after',
    example(
      'thinfuse init && thinfuse start',
      'thinfuse image create debian --from debian.tar',
      'thinfuse container create web1 --image debian && thinfuse mount web1',
    ),
  );
}

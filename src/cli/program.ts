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

export interface ProgramOptions {
  /** Commander itself prints no errors, because the caller tells them as JSON. */
  readonly quiet: boolean;
  /** As `process.argv`. Given: only with the command that it names. */
  readonly argv?: readonly string[];
}

/** The command line. */
export async function buildProgram({ quiet, argv }: ProgramOptions): Promise<Command> {
  const program = new Command('thinfuse')
    .description('A device-mapper thin pool in userspace: instant writable snapshots of real filesystems.')
    .version(version(), VERSION.join(', '))
    .addOption(
      new Option('--root <folder>', 'the folder of the pool').env('THINFUSE_ROOT').default(DEFAULT_ROOT),
    )
    .option('--json', 'results and errors as JSON')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .showHelpAfterError('(thinfuse --help lists commands and options)')
    .exitOverride();
  // Commander itself asks `process.stdout`, which changes a pipe by being looked at.
  program.configureOutput({
    writeOut: (text) => standardOutput.write(text),
    writeErr: quiet ? () => undefined : complain,
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

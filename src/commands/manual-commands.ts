import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Argument, type Command } from 'commander';
import { bashCompletion } from '../manual/bash-completion.js';
import { LIVE_KEYS } from '../config/live-settings.js';
import { suggestion } from '../config/nearest.js';
import { STORAGE_OPTION_KEYS } from '../config/storage-options.js';
import { ThinError } from '../errors/thin-error.js';
import { CHOICE_KEYS } from '../docker/choose-devices.js';
import { FIELD_NAMES } from '../docker/device-fields.js';
import { commandTree } from '../manual/command-tree.js';
import { fishCompletion } from '../manual/fish-completion.js';
import { manPage } from '../manual/man-page.js';
import { zshCompletion } from '../manual/zsh-completion.js';
import { DEFAULT_ROOT } from '../config/defaults.js';
import { example } from './example.js';
import { print, printJson } from './output.js';
import { version } from '../config/version.js';

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

/** Of any filesystem, as most people give them; `mount -o` takes others, too. */
const MOUNT_OPTIONS = [
  'ro',
  'noatime',
  'relatime',
  'lazytime',
  'nodev',
  'noexec',
  'nosuid',
  'sync',
  'discard',
];

/** Of options and arguments whose values the program checks itself. */
const VALUES = {
  '--fs': ['xfs', 'ext4'],
  '--opt': STORAGE_OPTION_KEYS.map((key) => `dm.${key}=`),
  '--format': FIELD_NAMES.map((name) => name.toLowerCase()),
  '--sort': CHOICE_KEYS,
  '--options': MOUNT_OPTIONS,
  '--filter': CHOICE_KEYS.map((key) => `${key}=`),
  key: LIVE_KEYS,
  setting: LIVE_KEYS.map((key) => `${key}=`),
};

const EXIT_CODES = [
  [0, 'It is done.'],
  [1, 'The operation failed.'],
  [2, 'Something on the command line is not understood, or its value is not allowed.'],
  [3, 'Something named is not there: a device, the pool, a file.'],
  [4, 'Something is there already.'],
  [5, 'Something is in use.'],
  [6, 'The pool is full.'],
  [7, 'Metadata or data is damaged; the message names the key.'],
  [8, 'The environment lacks something; the message names the package to install.'],
  [9, 'Permission is missing, or the pool is read-only.'],
  [10, 'The command is done, but its result is incomplete.'],
  [11, 'The daemon does not run that is needed.'],
  [141, 'The reader of the output is gone (SIGPIPE).'],
] as const;

const FILES = [
  [`${DEFAULT_ROOT}/devicemapper/`, 'The pool.'],
  [`${DEFAULT_ROOT}/dev/`, 'Image files of active devices.'],
  [`${DEFAULT_ROOT}/mnt/`, 'Where devices are mounted.'],
  [`${DEFAULT_ROOT}/metadata/`, 'JSON files about the devices, in the form that Docker wrote.'],
  [`${DEFAULT_ROOT}/thinfuse.sock`, 'Control socket of the daemon.'],
  [`${DEFAULT_ROOT}/thinfuse.log`, 'What a detached daemon logs: a JSON object a line.'],
] as const;

export function registerManualCommands(program: Command): void {
  program
    .command('completion')
    .summary('print a completion script for a shell')
    .description('Prints the script that completes commands, options, device names and paths in a shell.')
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(SHELLS)))
    .addHelpText(
      'after',
      example(
        'thinfuse completion bash >/etc/bash_completion.d/thinfuse',
        'thinfuse completion zsh >/usr/local/share/zsh/site-functions/_thinfuse',
        'thinfuse completion fish >/usr/share/fish/vendor_completions.d/thinfuse.fish',
      ),
    )
    .action((shell: keyof typeof SHELLS) => {
      print(SHELLS[shell](commandTree(program, VALUES), program.name()));
    });

  program
    .command('manual')
    .summary('print the man page')
    .description('Prints the man page, thinfuse(8), with the help of every command.')
    .option('-o, --output <file>', 'the file to write; default: standard output')
    .addHelpText('after', example('thinfuse manual | man -l -'))
    .action(async ({ output }: { output?: string }) => {
      const page = manPage(commandTree(program), {
        name: program.name(),
        version: version(),
        date: pageDate(),
        exitCodes: EXIT_CODES,
        files: FILES,
      });
      if (output === undefined) {
        print(page);
        return;
      }
      await mkdir(path.dirname(path.resolve(output)), { recursive: true });
      await writeFile(output, page);
    });

  registerSchema(program);
}

function registerSchema(program: Command): void {
  program
    .command('schema')
    .summary('print what --json prints, as JSON Schema')
    .description(
      'Prints the JSON Schema of what COMMAND prints with --json, or of "error", what a failing one prints. Without COMMAND, prints one document that has them all below $defs, by command, words joined by a dash. Its $id has the version of the schemas. Within one version, new keys may appear; no key disappears or changes its meaning.',
    )
    .argument('[command...]', 'such as ls, or container create')
    .addHelpText('after', example('thinfuse schema ls', 'thinfuse schema >thinfuse.schema.json'))
    .action(async (words: readonly string[]) => {
      const { OUTPUTS, outputDocument, outputSchema } = await import('../outputs/outputs.js');
      if (words.length === 0) {
        printJson(outputDocument());
        return;
      }
      const command = words.join(' ');
      if (!Object.hasOwn(OUTPUTS, command)) {
        const { text, details } = suggestion(command, Object.keys(OUTPUTS));
        throw new ThinError('not-found', `there is no schema of ${JSON.stringify(command)}${text}`, {
          details,
        });
      }
      printJson(outputSchema(OUTPUTS[command as keyof typeof OUTPUTS]));
    });
}

/** Of the build, which a packager may fix (https://reproducible-builds.org/specs/source-date-epoch). */
function pageDate(): string {
  const epoch = Number(process.env['SOURCE_DATE_EPOCH']);
  const date = Number.isInteger(epoch) && epoch > 0 ? new Date(epoch * 1000) : new Date();
  return date.toLocaleDateString('en-US', { dateStyle: 'long', timeZone: 'UTC' });
}

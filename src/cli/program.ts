import { isatty } from 'node:tty';
import { Command, Option } from 'commander';
import { registerCloneCommand } from '../commands/clone-command.js';
import { registerCheckCommand } from '../commands/check-command.js';
import { DEFAULT_ROOT } from '../config/defaults.js';
import { registerDaemonCommands } from '../commands/daemon-commands.js';
import { registerEventCommands } from '../commands/event-commands.js';
import { registerExtendCommand } from '../commands/extend-command.js';
import { registerDoctorCommand } from '../commands/doctor-command.js';
import { registerDumpCommands } from '../commands/dump-commands.js';
import { registerDeviceCommands } from '../commands/device-commands.js';
import { registerDiffCommands } from '../commands/diff-commands.js';
import { example } from '../commands/example.js';
import { registerExportCommand } from '../commands/export-command.js';
import { registerImageCommands } from '../commands/image-commands.js';
import { registerInfoCommand } from '../commands/info-command.js';
import { registerInitCommand } from '../commands/init-command.js';
import { registerLegacyCommands } from '../commands/legacy/command.js';
import { registerListCommands } from '../commands/list-commands.js';
import { registerManualCommands } from '../commands/manual-commands.js';
import { registerMappingCommands } from '../commands/mapping-commands.js';
import { registerMetadataSizeCommand } from '../commands/metadata-size-command.js';
import { registerMetadataSnapCommands } from '../commands/metadata-snap-commands.js';
import { registerMountCommands } from '../commands/mount-commands.js';
import { registerPullCommand } from '../commands/pull-command.js';
import { registerPushCommand } from '../commands/push-command.js';
import { registerReceiveCommand } from '../commands/receive-command.js';
import { registerSettingsCommands } from '../commands/settings-commands.js';
import { registerSendCommand } from '../commands/send-command.js';
import { registerRemoteCommands } from '../commands/remote-commands.js';
import { registerScrubCommand } from '../commands/scrub-command.js';
import { registerUiCommand } from '../commands/ui-command.js';
import { complain } from '../commands/output.js';
import { standardOutput } from '../commands/standard-stream.js';
import { version } from '../config/version.js';

/** Columns of help that no terminal shows. */
const DEFAULT_WIDTH = 80;

/** The command line. `quiet`: commander itself prints no errors, because the caller tells them as JSON. */
export function buildProgram({ quiet }: { quiet: boolean }): Command {
  const program = new Command('thinfuse')
    .description('A device-mapper thin pool in userspace: instant writable snapshots of real filesystems.')
    .version(version(), '-V, --version')
    .addOption(
      new Option('--root <folder>', 'where the pool lies').env('THINFUSE_ROOT').default(DEFAULT_ROOT),
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
  registerInitCommand(program);
  registerDaemonCommands(program);
  registerImageCommands(program);
  registerDeviceCommands(program);
  registerCloneCommand(program);
  registerMountCommands(program);
  registerInfoCommand(program);
  registerListCommands(program);
  registerDiffCommands(program);
  registerExportCommand(program);
  registerSendCommand(program);
  registerReceiveCommand(program);
  registerPushCommand(program);
  registerPullCommand(program);
  registerRemoteCommands(program);
  registerCheckCommand(program);
  registerScrubCommand(program);
  registerDoctorCommand(program);
  registerExtendCommand(program);
  registerSettingsCommands(program);
  registerEventCommands(program);
  registerUiCommand(program);
  registerDumpCommands(program);
  registerMappingCommands(program);
  registerMetadataSnapCommands(program);
  registerMetadataSizeCommand(program);
  registerLegacyCommands(program);
  registerManualCommands(program);
  return program.addHelpText(
    'after',
    example(
      'thinfuse init && thinfuse start',
      'thinfuse image create debian --from debian.tar',
      'thinfuse container create web1 --image debian && thinfuse mount web1',
    ),
  );
}

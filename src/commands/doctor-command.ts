import { Option, type Command } from 'commander';
import type { DoctorReport } from '../api/doctor-report.js';
import { ThinError } from '../errors/thin-error.js';
import { withPool } from './connect.js';
import { ENGINE_CONFIG, examineContainerd } from './containerd-doctor.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { examineHost } from './host-doctor.js';
import { printResult } from './output.js';

export function registerDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .summary('explain leftovers and what blocks an operation')
    .description(
      "Examines mounts, loop devices, devices and files of the pool. Explains leftovers of a crash, what other processes hold, and which device waits for which user. Exit code 1 if a problem remains. --host looks at this machine instead, and needs no pool: tools and their versions, Node.js and its modules, /dev/fuse, loop devices, the kernel and free space; exit code 8 where thinfuse will not work on it. --containerd reads the configuration of a containerd, with its imports, and names what the pool's snapshotters lack in it; exit code 8 where it does not reach them.",
    )
    .option('--fix', 'repair everything that no process uses')
    .addOption(
      new Option(
        '--host',
        'check whether thinfuse works on this machine, and name what is missing',
      ).conflicts('fix'),
    )
    .addOption(
      new Option(
        '--containerd [file]',
        `read a containerd's configuration (${ENGINE_CONFIG}), and name what is missing for the pool`,
      )
        .preset(ENGINE_CONFIG)
        .conflicts(['fix', 'host']),
    )
    .addHelpText(
      'after',
      example(
        'thinfuse doctor',
        'thinfuse doctor --fix',
        'thinfuse doctor --host',
        'thinfuse doctor --containerd',
      ),
    )
    .action(async (options: { fix?: boolean; host?: boolean; containerd?: string }, command: Command) => {
      const context = contextOf(command);
      if (options.host === true) {
        await examineHost(context);
        return;
      }
      if (options.containerd !== undefined) {
        await examineContainerd(context, options.containerd);
        return;
      }
      const report = await withPool(context, (caller) =>
        caller.call('doctor', { fix: options.fix === true }),
      );
      printResult(context, report, reportText(report));
      if (report.left === 0) return;
      const some = report.findings.some((finding) => finding.mendable && !finding.mended);
      throw new ThinError(
        'check-failed',
        `${report.left} ${report.left === 1 ? 'problem is' : 'problems are'} left${some && options.fix !== true ? '; thinfuse doctor --fix repairs some of them' : ''}`,
        { details: { problems: report.left } },
      );
    });
}

function reportText({ findings }: DoctorReport): string {
  if (findings.length === 0) return 'nothing is left over or in the way';
  return findings
    .map(
      ({ severity, subject, message, mended }) => `${mended ? 'mended' : severity}: ${subject}: ${message}`,
    )
    .join('\n');
}

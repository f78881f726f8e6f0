import { isatty } from 'node:tty';
import { Option, type Command } from 'commander';
import type { Incompleteness } from '../api/operations.js';
import { formatBinarySize } from '../config/sizes.js';
import { formatTable } from '../docker/table.js';
import { ThinError } from '../errors/thin-error.js';
import { ChildProcessExec } from '../host/exec.js';
import { withAccess } from './connect.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { requireComplete } from './incomplete.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { withProgress } from './progress.js';

const EXPORT_FORMATS = ['tar', 'raw', 'qcow2', 'dm-thin', 'lvm'] as const;
/** Those that take the whole pool. */
const POOL_FORMATS: readonly string[] = ['dm-thin', 'lvm'];

interface ExportFlags {
  readonly format: (typeof EXPORT_FORMATS)[number];
  readonly output?: string;
  readonly group: string;
}

export function registerExportCommand(program: Command): void {
  program
    .command('export')
    .summary('write a device, or the whole pool, for other programs')
    .description(
      'Writes the files of a device as a tar, its blocks as a raw image with holes or a qcow2 image, or the whole pool as a metadata and a data file that the kernel opens with dm-thin, or as a disk of LVM with a thin pool. Writes each device at one moment, also while it is in use.',
    )
    .usage('[options] (ID | --format dm-thin | --format lvm)')
    .argument('[id]', 'the device; none with --format dm-thin or lvm, which take all')
    .addOption(new Option('--format <format>', 'what to write').choices(EXPORT_FORMATS).default('tar'))
    .option(
      '-o, --output <file>',
      'the file to write; with --format dm-thin a new folder, with lvm a file or an empty disk; default for a tar: standard output',
    )
    .option('--group <name>', 'with --format lvm, the name of the volume group', 'thinfuse')
    .addHelpText(
      'after',
      example(
        'thinfuse export web1 | zstd > web1.tar.zst',
        'thinfuse export vm --format qcow2 --output vm.qcow2',
        'thinfuse export --format dm-thin --output /backup/pool',
        'thinfuse export --format lvm --output /dev/sdc',
      ),
    )
    .action(async (name: string | undefined, flags: ExportFlags, command: Command) => {
      const context = contextOf(command);
      if (!POOL_FORMATS.includes(flags.format)) await exportDevice(context, name, flags);
      else if (name !== undefined)
        throw new ThinError(
          'invalid-argument',
          `${flags.format} takes the whole pool, and not ${name} alone; leave it out, or choose --format raw`,
        );
      else if (flags.format === 'lvm')
        await exportGroup(context, requireOutput(flags.output, 'a file, or a disk'), flags.group);
      else await exportPool(context, requireOutput(flags.output, 'a folder to be made'));
    });
}

async function exportDevice(
  context: Context,
  name: string | undefined,
  { format, output }: ExportFlags,
): Promise<void> {
  if (name === undefined)
    throw new ThinError('invalid-argument', `name the device to write as ${format}; thinfuse ls shows them`);
  const target =
    format === 'tar' && output === undefined
      ? { fd: requirePipe() }
      : { file: requireOutput(output, 'a file') };
  const { DeviceExport } = await import('../transfer/export-device.js');
  const write = async (exporting: InstanceType<typeof DeviceExport>): Promise<Incompleteness> => {
    if (format === 'tar') return exporting.tar(name, target);
    const file = requireOutput(output, 'a file');
    return format === 'raw' ? exporting.raw(name, file) : exporting.qcow2(name, file);
  };
  const { lacks } = await interruptible((signal) =>
    withAccess(context, (access) =>
      withProgress(context, format === 'tar' ? 'packing' : 'exporting', (onProgress) =>
        write(new DeviceExport(access, new ChildProcessExec(), { signal, onProgress, onNote: note })),
      ),
    ),
  );
  if (output !== undefined) printResult(context, { name, format, output, lacks }, output);
  requireComplete(name, { lacks });
}

async function exportPool(context: Context, output: string): Promise<void> {
  const { PoolExport } = await import('../transfer/export-pool.js');
  const exporting = await PoolExport.to(output, new ChildProcessExec());
  const { devices, lacks } = await interruptible((signal) =>
    withAccess(context, (access) =>
      withProgress(context, 'exporting', (onProgress) => exporting.write(access, { signal, onProgress })),
    ),
  );
  const table = formatTable(
    [
      { title: 'ID', right: true },
      { title: 'NAME' },
      { title: 'SIZE', right: true },
      { title: 'SECTORS', right: true },
    ],
    devices.map(({ id, name, size, sectors }) => [`${id}`, name, formatBinarySize(size), `${sectors}`]),
  );
  printResult(context, { output: exporting.folder, devices, lacks }, table);
  if (lacks !== undefined) throw new ThinError('incomplete', lacks);
}

async function exportGroup(context: Context, output: string, group: string): Promise<void> {
  if (!/^[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,50}$/.test(group) || /^\.{1,2}$/.test(group))
    throw new ThinError('invalid-argument', `--group ${group} is not a name that LVM takes`);
  const { GroupExport } = await import('../legacy/lvm/group-export.js');
  const exporting = new GroupExport(new ChildProcessExec());
  const { volumes, lacks } = await interruptible((signal) =>
    withAccess(context, async (access) => ({
      volumes: await withProgress(context, 'exporting', (onProgress) =>
        exporting.write(access, output, { group, signal, onProgress }),
      ),
      lacks: (await access.call('pool.info', {})).lacks,
    })),
  );
  const table = formatTable(
    [{ title: 'ID', right: true }, { title: 'NAME' }, { title: 'VOLUME' }, { title: 'SIZE', right: true }],
    volumes.map(({ id, name, volume, size }) => [
      `${id}`,
      name,
      `${group}/${volume}`,
      formatBinarySize(size),
    ]),
  );
  printResult(context, { output, group, volumes, lacks }, table);
  if (lacks !== undefined) throw new ThinError('incomplete', lacks);
}

function requireOutput(output: string | undefined, what: string): string {
  if (output !== undefined) return output;
  throw new ThinError('invalid-argument', `this format needs --output, ${what}`);
}

function requirePipe(): number {
  if (!isatty(1)) return 1;
  throw new ThinError(
    'invalid-argument',
    'a tar is not written to a terminal; redirect the output, or name a file with --output',
  );
}

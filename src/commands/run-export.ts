import { isatty } from 'node:tty';
import type { Caller, Incompleteness } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import { Archive } from '../host/archive.js';
import { ChildProcessExec, saidBy } from '../host/exec.js';
import type { MappingRun } from '../metadata/mapping-runs.js';
import type { MappedRun } from '../transfer/copy-pieces.js';
import { exportRaw, writeOutput } from '../transfer/output-file.js';
import { withDevices } from './connect.js';
import type { Context } from './context.js';
import type { ExportFlags } from './export-command.js';
import { requireComplete } from './incomplete.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { ownMaker } from './passing-devices.js';
import { withProgress } from './progress.js';
import { filesOf, withEmptyFolder } from './rootfs.js';
import { exportPool } from './run-export-pool.js';
import { withStill, type StillDevice } from './still-device.js';

export async function runExport(
  context: Context,
  name: string | undefined,
  { format, output }: ExportFlags,
): Promise<void> {
  if (format === 'dm-thin') {
    if (name !== undefined)
      throw new ThinError(
        'invalid-argument',
        `dm-thin takes the whole pool, and not ${name} alone; leave it out, or choose --format raw`,
      );
    await exportPool(context, requireOutput(output, 'a folder to be made'));
    return;
  }
  if (name === undefined)
    throw new ThinError('invalid-argument', `name the device to write as ${format}; thinfuse ls shows them`);
  const target =
    format === 'tar' && output === undefined
      ? { fd: requirePipe() }
      : { file: requireOutput(output, 'a file') };
  const lacking = await interruptible((signal) =>
    withDevices(context, async (caller) => {
      return withStill(caller, name, (still): Promise<Incompleteness> => {
        if (format === 'tar') return writeTar(context, caller, still, target, signal);
        const file = requireOutput(output, 'a file');
        return format === 'raw'
          ? writeRaw(context, caller, still, file, signal)
          : writeQcow2(still, file, signal);
      });
    }),
  );
  if (output !== undefined) printResult(context, { name, format, output, lacks: lacking.lacks }, output);
  requireComplete(name, lacking);
}

async function writeTar(
  context: Context,
  caller: Caller,
  { name }: StillDevice,
  target: { readonly fd: number } | { readonly file: string },
  signal: AbortSignal,
): Promise<Incompleteness> {
  const pack = async (folder: string): Promise<void> => {
    const warnings = await withProgress(context, 'packing', (onProgress) =>
      new Archive(new ChildProcessExec()).export(folder, target, {
        signal,
        ...(onProgress === undefined ? {} : { onProgress }),
      }),
    );
    for (const warning of warnings) note(warning);
  };
  const { path, lacks } = await caller.call('view.open', {
    name,
    holder: process.pid,
    maker: await ownMaker(),
  });
  try {
    const files = await filesOf(path);
    await (files === undefined ? withEmptyFolder(pack) : pack(files));
    return { lacks };
  } finally {
    await caller.call('view.close', { name, holder: process.pid });
  }
}

async function writeRaw(
  context: Context,
  caller: Caller,
  still: StillDevice,
  output: string,
  signal: AbortSignal,
): Promise<Incompleteness> {
  const { size, mapped } = still.device;
  const { blockSize } = await caller.call('pool.info', {});
  await withProgress(context, 'exporting', async (onProgress) => {
    let done = 0;
    await exportRaw(
      { runs: inPlace(still.runs()), read: (offset, into) => still.read(offset, into), blockSize, size },
      output,
      {
        signal,
        onBytes: (bytes) => {
          done += bytes;
          onProgress?.({ done, total: Math.max(done, mapped) });
        },
      },
    );
  });
  return {};
}

/** The image file has the data where the device has it. */
async function* inPlace(runs: AsyncIterable<MappingRun>): AsyncGenerator<MappedRun> {
  for await (const { begin, length } of runs) yield { begin, data: begin, length };
}

/** qemu-img asks the image file where its holes are. */
async function writeQcow2(still: StillDevice, output: string, signal: AbortSignal): Promise<Incompleteness> {
  const image = await still.path();
  await writeOutput(output, async (part) => {
    const args = ['convert', '--force-share', '-f', 'raw', '-O', 'qcow2', image, part];
    try {
      await new ChildProcessExec().run('qemu-img', args, { signal });
    } catch (error) {
      if (!saidBy(error, /no space left on device/i)) throw error;
      throw new ThinError('no-space', `no space is left for ${output}; write it to a larger disk`, {
        cause: error,
        details: { path: output },
      });
    }
  });
  return {};
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

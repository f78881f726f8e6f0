import { open, type FileHandle } from 'node:fs/promises';
import type { Command } from 'commander';
import { poolMetadata } from '../../legacy/pool-metadata.js';
import { SourceFile } from '../../legacy/source-file.js';
import { packMetadata, unpackMetadata } from '../../legacy/tools/metadata-pack.js';
import { writeAll, writeOutput } from '../../transfer/output-file.js';
import { contextOf, type Context } from '../context.js';
import { example } from '../example.js';
import { printResult } from '../output.js';
import { repeatedText } from '../repeated.js';

interface PackFlags {
  readonly input: readonly string[];
  readonly output: string;
  readonly pool?: string;
}

export function registerPackCommands(program: Command): void {
  program
    .command('metadata-pack')
    .summary("compress the kernel's metadata, to send it to another person")
    .description(
      "Writes the blocks of dm-thin's metadata that are sound into one compressed file, which thin_metadata_unpack 1.x and metadata-unpack read. It holds no data of devices.",
    )
    .requiredOption(
      '-i, --input <path>',
      'the metadata: a file, a device, or a disk of LVM (each of them, where there are several)',
      repeatedText,
    )
    .requiredOption('-o, --output <file>', 'the file to write')
    .option('--pool <name>', 'which thin pool on disks of LVM: NAME or GROUP/NAME')
    .addHelpText('after', example('thinfuse metadata-pack -i /dev/vg/pool_tmeta -o pool.pack'))
    .action(async (flags: PackFlags, command: Command) => {
      await pack(contextOf(command), flags);
    });

  program
    .command('metadata-unpack')
    .summary('bring back metadata that was packed')
    .description(
      'Writes the metadata that metadata-pack or thin_metadata_pack 1.x packed into a file of its old size. Parts that were not packed are zeroes.',
    )
    .requiredOption('-i, --input <file>', 'the pack')
    .requiredOption('-o, --output <file>', 'the file to write')
    .addHelpText('after', example('thinfuse metadata-unpack -i pool.pack -o metadata'))
    .action(async (flags: { input: string; output: string }, command: Command) => {
      await unpack(contextOf(command), flags);
    });
}

async function pack(context: Context, { input, output, pool }: PackFlags): Promise<void> {
  const opened: SourceFile[] = [];
  try {
    for (const path of input) opened.push(new SourceFile(path, '--input'));
    const reader = await poolMetadata(opened, pool);
    const bytes = await writeOutput(output, async (_part, handle) => {
      let at = 0;
      for await (const piece of packMetadata(reader)) {
        await writeAll(handle, at, piece);
        at += piece.length;
      }
      return at;
    });
    printResult(context, { output, bytes }, `${output}: ${bytes} bytes`);
  } finally {
    for (const file of opened) file.close();
  }
}

async function unpack(context: Context, { input, output }: { input: string; output: string }): Promise<void> {
  // Tells what cannot be opened, and why.
  new SourceFile(input, '--input').close();
  const source = await open(input);
  try {
    const blocks = await writeOutput(output, (_part, handle) =>
      unpackMetadata(
        { read: (bytes) => readNext(source, bytes) },
        {
          resize: (bytes) => handle.truncate(bytes),
          write: (offset, bytes) => writeAll(handle, offset, bytes),
        },
      ),
    );
    printResult(context, { output, blocks }, `${output}: ${blocks} blocks`);
  } finally {
    await source.close();
  }
}

async function readNext(source: FileHandle, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await source.read(buffer, done, bytes - done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}

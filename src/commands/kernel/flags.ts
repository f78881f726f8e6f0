import type { Command } from 'commander';
import { ThinError } from '../../errors/thin-error.js';
import { repeatedText } from '../repeated.js';

/** Of commands that work on metadata of dm-thin, too. */
export interface KernelFlags {
  readonly metadata?: readonly string[];
  readonly pool?: string;
}

export type KernelSource = KernelFlags & { readonly metadata: readonly string[] };

/** `--metadata`, as often as the pool has disks. */
export function withKernelOption(command: Command): Command {
  return command
    .option(
      '--metadata <path>',
      "metadata of the kernel's dm-thin in place of the pool: a file, a device, or a disk of LVM (each of them, where there are several)",
      repeatedText,
    )
    .option('--pool <name>', 'with --metadata, which thin pool on disks of LVM: NAME or GROUP/NAME');
}

export function isKernel<T extends KernelFlags>(flags: T): flags is T & KernelSource {
  return flags.metadata !== undefined;
}

/** @throws ThinError invalid-argument */
export function requireKernel(flags: KernelFlags, given: Readonly<Record<string, unknown>>): void {
  const [option] = Object.keys(given).filter((name) => given[name] !== undefined);
  if (option !== undefined && !isKernel(flags))
    throw new ThinError(
      'invalid-argument',
      `${option} is for the kernel's metadata; give it with --metadata`,
    );
}

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Option, type Command } from 'commander';
import { readStorageOpts } from '../config/daemon-json.js';
import { COMPRESSIONS, type Compression } from '../config/pool-options.js';
import { parseStorageOptions, type StorageOptions } from '../config/storage-options.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { repeatedText } from './repeated.js';

export interface StorageFlags {
  readonly compression?: Compression;
  readonly opt?: readonly string[];
  readonly config?: string;
}

/** `--compression`, `--opt` and `--config`, for `init` and `start`. */
export function withStorageOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--compression <codec>',
        'how the pool compresses new chunks in LevelDB; stored chunks stay as they are',
      ).choices(COMPRESSIONS),
    )
    .option('--opt <dm.KEY=VALUE>', "one of Docker's options for devicemapper; may be repeated", repeatedText)
    .option('--config <daemon.json>', 'a file with "storage-opts" as Docker reads it; --opt comes after it');
}

export interface GivenOptions {
  readonly settings: StorageOptions;
  /** The same, for another process's command line. */
  readonly args: readonly string[];
}

/** @throws ThinError not-found, permission, invalid-argument, unknown-option */
export async function storageOptions({ compression, opt = [], config }: StorageFlags): Promise<GivenOptions> {
  const file = config === undefined ? [] : readStorageOpts(await readConfig(config), config);
  const given = [...file, ...opt];
  const { pool, ...settings } = parseStorageOptions(given);
  return {
    settings: { ...settings, pool: { ...pool, ...(compression !== undefined && { compression }) } },
    args: [
      ...given.flatMap((option) => ['--opt', option]),
      ...(compression === undefined ? [] : ['--compression', compression]),
    ],
  };
}

async function readConfig(file: string): Promise<string> {
  try {
    return await readFile(path.resolve(file), 'utf8');
  } catch (error) {
    const code = systemErrorCode(error) === 'ENOENT' ? 'not-found' : 'io';
    const reason = error instanceof Error ? error.message : String(error);
    throw new ThinError(code, `the configuration ${file} cannot be read: ${reason}`, { cause: error });
  }
}

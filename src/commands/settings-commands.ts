import type { Command } from 'commander';
import { liveSettings, liveValues, parseLiveSettings, requireLiveKey } from '../config/live-settings.js';
import type { PoolOptions } from '../config/pool-options.js';
import { ThinError } from '../errors/thin-error.js';
import { withPool } from './connect.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { printResult } from './output.js';

export function registerSettingsCommands(program: Command): void {
  program
    .command('get')
    .summary("show the pool's settings")
    .description('Prints settings that can be changed while the pool is in use (thinfuse set); all, or one.')
    .argument('[key]', 'with or without dm. before it')
    .addHelpText('after', example('thinfuse get', 'thinfuse get min_free_space'))
    .action(async (given: string | undefined, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const key = given === undefined ? undefined : requireLiveKey(given);
      const { options } = await withPool(context, (caller) => caller.call('pool.info', {}));
      if (key === undefined) printSettings(context, options);
      else {
        const text = settingOf(liveSettings(options), key);
        printResult(context, { [key]: liveValues(options)[key] }, text);
      }
    });

  program
    .command('set')
    .summary("change the pool's settings")
    .description(
      'Changes settings while the pool is in use, at once and permanently. thinp_autoextend_threshold and thinp_autoextend_percent: from which use on the pool grows by itself, and by how much. min_free_space: the free space that a new device needs.' +
        ' queue_if_no_space, no_space_timeout: whether writers wait when the pool is full, and for how many seconds. low_water_mark, metadata_low_water_mark: below how much free space the daemon reports that space is low (thinfuse events); auto: as dm-thin has it. origin_timeout: for how many seconds a read waits for a store elsewhere. compression: how the pool compresses new chunks (leveldb pools). cache_size: how much of the chunks a leveldb pool keeps in memory, at most 4G; auto, by the memory of the machine. --json has percent and seconds as numbers, and sizes in bytes.',
    )
    .argument('<setting...>', 'KEY=VALUE, as init --opt takes it; with or without dm. before it')
    .addHelpText(
      'after',
      example(
        'thinfuse set min_free_space=5%',
        'thinfuse set queue_if_no_space=true no_space_timeout=30',
        'thinfuse set cache_size=1G compression=zstd',
      ),
    )
    .action(async (settings: readonly string[], _options: unknown, command: Command) => {
      const context = contextOf(command);
      const change = parseLiveSettings(settings);
      const { options } = await withPool(context, (caller) => caller.call('pool.set', change));
      printSettings(context, options);
    });
}

function settingOf(all: Readonly<Record<string, string>>, key: string): string {
  const value = all[key];
  if (value !== undefined) return value;
  throw new ThinError(
    'unsupported',
    `the daemon has no setting ${key}because it is of an older version; restart it with: thinfuse restart`,
  );
}

function printSettings(context: Context, options: PoolOptions): void {
  const lines = Object.entries(liveSettings(options)).map(([key, value]) => `${key}=${value}`);
  printResult(context, liveValues(options), lines.join('\n'));
}

import path from 'node:path';
import type { Command } from 'commander';
import type { DeviceStatus } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import { withPool } from './connect.js';
import { contextOf } from './context.js';
import { deviceJson } from './device-json.js';
import { example } from './example.js';
import { mountAsk, withMountFlags, type MountFlags } from './mount-flags.js';
import { printResult } from './output.js';

export function registerPropertyCommands(program: Command): void {
  withMountFlags(
    program
      .command('automount')
      .summary('mount a device whenever the daemon starts')
      .description(
        'Lets each start of the daemon mount the device, and so a reboot: on TARGET, or on mnt/ID in the root. Mounts nothing now (thinfuse mount does). Without TARGET or an option, shows the setting.',
      )
      .argument('<id>')
      .argument('[target]', 'the folder to mount it on, which is made if it is missing')
      .option('--on', 'on its usual place')
      .option('--off', 'no more')
      .option('--ro', 'read-only; images are always mounted so'),
  )
    .addHelpText(
      'after',
      example(
        'thinfuse automount db /srv/db -o noatime',
        'thinfuse automount web1 --on',
        'thinfuse automount db --off',
      ),
    )
    .action(async (name: string, target: string | undefined, options: AutomountFlags, command: Command) => {
      const context = contextOf(command);
      const { on = false, off = false } = options;
      const ask = mountAsk(options);
      const says = target !== undefined || on || ask.readOnly || ask.allowOther || ask.options !== '';
      if (target !== undefined && !target.includes('/') && target.includes('='))
        throw new ThinError(
          'invalid-argument',
          `${JSON.stringify(target)} is no folder; mount options are given with -o, as in: thinfuse automount ${name} -o noatime`,
        );
      if (off && says) throw new ThinError('invalid-argument', '--off removes the automount; give it alone');
      if (target !== undefined && ask.allowOther)
        throw new ThinError('invalid-argument', '--allow-other is only for a mount without TARGET');
      const device = await withPool(context, (caller) => {
        if (!off && !says) return caller.call('device.get', { name });
        const automount = off ? null : { ...ask, target: target === undefined ? '' : path.resolve(target) };
        return caller.call('device.automount', { name, automount });
      });
      printResult(context, deviceJson(device), automountLine(device));
    });

  program
    .command('label')
    .summary('note facts about a device')
    .description(
      'Sets labels of your own: KEY=VALUE sets one, KEY- removes one. Without a label, shows the labels of the device. ls --filter label=KEY=VALUE finds devices by them.',
    )
    .argument('<id>')
    .argument('[label...]')
    .addHelpText(
      'after',
      example(
        'thinfuse label db team=shop until=2027-01-31',
        'thinfuse label db until-',
        'thinfuse ls -q --filter label=team=shop',
      ),
    )
    .action(async (name: string, words: readonly string[], _options: unknown, command: Command) => {
      const context = contextOf(command);
      const labels = parseLabels(words);
      const device = await withPool(context, (caller) =>
        words.length === 0
          ? caller.call('device.get', { name })
          : caller.call('device.labels', { name, labels }),
      );
      const lines = Object.entries(device.labels ?? {}).map(([key, value]) => `${key}=${value}`);
      printResult(context, deviceJson(device), lines.join('\n'));
    });
}

interface AutomountFlags extends MountFlags {
  readonly on?: boolean;
  readonly off?: boolean;
}

/** @throws ThinError invalid-argument */
export function parseLabels(words: readonly string[]): Readonly<Record<string, string | null>> {
  const labels = new Map<string, string | null>();
  for (const word of words) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
    if (key !== undefined && value !== undefined) labels.set(key, value);
    else if (word.endsWith('-') && word.length > 1) labels.set(word.slice(0, -1), null);
    else
      throw new ThinError(
        'invalid-argument',
        `${JSON.stringify(word)} is not a label; write KEY=VALUE to set one, or KEY- to remove it`,
      );
  }
  return Object.fromEntries(labels);
}

function automountLine({ automount }: DeviceStatus): string {
  if (automount === undefined) return 'off';
  const { target, readOnly, options, allowOther } = automount;
  const words = [readOnly ? 'ro' : '', allowOther ? 'allow_other' : '', options].filter(
    (word) => word !== '',
  );
  return [target === '' ? 'on' : target, ...(words.length === 0 ? [] : [words.join(',')])].join(' ');
}

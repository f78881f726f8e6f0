import type { Command } from 'commander';
import type { DeviceStatus } from '../daemon/api.js';
import type { DeviceKind } from '../pool/info.js';
import { withPool } from './connect.js';
import { contextOf } from './context.js';
import { deviceJson } from './device-json.js';
import { example } from './example.js';
import { print, printJson } from './output.js';

export function registerListCommands(program: Command): void {
  listing(program.command('ls'), undefined, 'thinfuse ls');
}

/** `ls`, `image ls` and `container ls`. */
export function listing(command: Command, kind: DeviceKind | undefined, sample: string): void {
  command
    .summary(`list ${kind === undefined ? 'devices' : `${kind}s`}`)
    .description('Lists devices with what they take of the pool.')
    .addHelpText('after', example(sample))
    .action(async (_options: unknown, self: Command) => {
      const context = contextOf(self);
      const all = await withPool(context, (caller) => caller.call('device.list', {}));
      const devices = all.filter((device) => kind === undefined || device.kind === kind);
      if (context.json) printJson(devices.map(deviceJson));
      else print(devices.map((device: DeviceStatus) => device.name).join('\n'));
    });
}

import type { Command } from 'commander';
import type { Caller, DeviceStatus } from '../api/operations.js';
import { toThinError, type ThinError } from '../errors/thin-error.js';
import { withDaemon, withPool } from './connect.js';
import { contextOf, type Context } from './context.js';
import { deviceJson } from './device-json.js';
import { example } from './example.js';
import { print, printJson } from './output.js';

/** Asked for at once: their commits become one, and the daemon serves others between two of these. */
const AT_ONCE = 8;

interface Clone {
  readonly device: DeviceStatus;
  /** Where it was mounted. */
  readonly path: string | undefined;
}

export function registerCloneCommand(program: Command): void {
  program
    .command('clone')
    .summary('make any number of writable copies of a device')
    .description(
      'Makes each NAME a writable snapshot of ORIGIN (of an image: a container), at once and whatever its size, and prints the names; with --mount, the mount points. Where one cannot be made, those that were made stay, and the command fails.',
    )
    .argument('<origin>')
    .argument('<name...>', 'names of the copies')
    .option('--mount', 'mount each, which needs a daemon')
    .addHelpText('after', example('thinfuse clone db test-db', 'thinfuse clone --mount db ci-{1..20}'))
    .action(
      async (origin: string, names: readonly string[], options: { mount?: boolean }, command: Command) => {
        const context = contextOf(command);
        const { clones, failure } = await (options.mount === true ? withDaemon : withPool)(
          context,
          (caller) => cloneAll(caller, origin, names, options.mount === true),
        );
        tell(context, clones, options.mount === true);
        if (failure !== undefined) throw failure;
      },
    );
}

interface Outcome {
  /** In the order of their names. */
  readonly clones: readonly Clone[];
  /** The first. */
  readonly failure: ThinError | undefined;
}

async function cloneAll(
  caller: Caller,
  origin: string,
  names: readonly string[],
  mount: boolean,
): Promise<Outcome> {
  const { kind: of } = await caller.call('device.get', { name: origin });
  const kind = of === 'image' ? 'container' : 'snapshot';
  const clones: Clone[] = [];
  let failure: ThinError | undefined;
  for (let at = 0; at < names.length && failure === undefined; at += AT_ONCE) {
    const made = await Promise.allSettled(
      names.slice(at, at + AT_ONCE).map(async (name): Promise<Clone> => {
        const device = await caller.call('device.create', { name, origin, kind });
        return { device, path: mount ? (await caller.call('mount', { name })).path : undefined };
      }),
    );
    for (const each of made)
      if (each.status === 'fulfilled') clones.push(each.value);
      else failure ??= toThinError(each.reason);
  }
  return { clones, failure };
}

function tell(context: Context, clones: readonly Clone[], mounted: boolean): void {
  if (context.json)
    printJson(
      clones.map(({ device, path }) =>
        mounted ? { ...deviceJson(device), mountPoint: path } : deviceJson(device),
      ),
    );
  else for (const { device, path } of clones) print(path ?? device.name);
}

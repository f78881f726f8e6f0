import type { Command } from 'commander';
import type { Caller, DeviceStatus } from '../api/operations.js';
import type { ThinError } from '../errors/thin-error.js';
import { makeClones } from '../transfer/make-clones.js';
import { withDaemon, withPool } from './connect.js';
import { contextOf, type Context } from './context.js';
import { deviceJson } from './device-json.js';
import { example } from './example.js';
import { forEach } from './many-devices.js';
import { print, printJson } from './output.js';

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
      'Makes each NAME a writable snapshot of ORIGIN (of an image: a container), at once and for any size. Prints the names, or with --mount the mount points. Up to 200 copies show the same moment of ORIGIN, and if one of them fails, none of those is made; more are made 200 at a time.',
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
  const { devices, failure } = await makeClones(caller, origin, names);
  const paths = new Map<string, string>();
  const wanted = mount && failure === undefined ? devices.map(({ name }) => name) : [];
  const { failures } = await forEach(wanted, async (name) => {
    paths.set(name, (await caller.call('mount', { name })).path);
  });
  return {
    clones: devices.map((device) => ({ device, path: paths.get(device.name) })),
    failure: failure ?? failures[0],
  };
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

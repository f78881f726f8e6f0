import type { Command } from 'commander';
import type { Caller, DeviceStatus } from '../api/operations.js';
import { toThinError, type ThinError } from '../errors/thin-error.js';
import { withDaemon, withPool } from './connect.js';
import { contextOf, type Context } from './context.js';
import { deviceJson } from './device-json.js';
import { example } from './example.js';
import { print, printJson } from './output.js';

/** Made in one call, which holds the pool for a moment. */
const MADE_AT_ONCE = 200;
/** Each mount is a tool's work; the daemon serves others between two of them. */
const MOUNTED_AT_ONCE = 8;

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
      'Makes each NAME a writable snapshot of ORIGIN (of an image: a container), at once and for any size. Prints the names, or with --mount the mount points. All copies show the same moment of ORIGIN. If one copy fails, none is made.',
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
  const devices: DeviceStatus[] = [];
  try {
    for (const some of batches(names, MADE_AT_ONCE))
      devices.push(...(await caller.call('device.clone', { origin, names: some })));
  } catch (error) {
    return { clones: devices.map((device) => ({ device, path: undefined })), failure: toThinError(error) };
  }
  const clones: Clone[] = [];
  let failure: ThinError | undefined;
  for (const some of batches(devices, mount ? MOUNTED_AT_ONCE : devices.length)) {
    const mounted = await Promise.allSettled(
      some.map(async ({ name }) => (mount ? (await caller.call('mount', { name })).path : undefined)),
    );
    mounted.forEach((each, at) => {
      clones.push({ device: some[at]!, path: each.status === 'fulfilled' ? each.value : undefined });
      if (each.status === 'rejected') failure ??= toThinError(each.reason);
    });
  }
  return { clones, failure };
}

function batches<T>(all: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, at) =>
    all.slice(at * size, (at + 1) * size),
  );
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

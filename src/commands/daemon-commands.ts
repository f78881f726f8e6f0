import { once } from 'node:events';
import path from 'node:path';
import { Option, type Command } from 'commander';
import type { AdapterPlace } from '../adapter/pool-adapter.js';
import { parseCacheSize } from '../config/limits.js';
import type { AdapterSockets } from '../daemon/adapter-places.js';
import { LOG_LEVELS, type LogLevel } from '../daemon/log-level.js';
import { parseListenAddress } from '../daemon/listen-address.js';
import { requirePool } from '../daemon/pool-folder.js';
import { rootLayout, type RootLayout } from '../config/root-layout.js';
import { refuseLive } from '../api/live-socket.js';
import { spawnDaemon } from '../daemon/spawn-daemon.js';
import { ThinError } from '../errors/thin-error.js';
import { MOUNT_MODES, type MountMode } from '../containerd/mount-mode.js';
import { parseSnapshotters, snapshotterText } from '../containerd/snapshotter-settings.js';
import { ActivatedSockets } from '../host/activated-sockets.js';
import { defaultTransport, type TransportKind } from '../fuse/transport.js';
import { DEFAULT_PLUGIN_SOCKET } from '../volumes/messages.js';
import { openWhenFree } from '../daemon/open-when-free.js';
import { requireNotBeingReplaced, withDaemon } from './connect.js';
import { contextOf } from './context.js';
import { repeatedText } from './repeated.js';
import { example } from './example.js';
import { lastMessage } from './log-message.js';
import { note, printResult } from './output.js';
import { stopDaemon } from './stop-daemon.js';
import { storageOptions, withStorageOptions, type StorageFlags } from './storage-flags.js';
import { asking, whileWorking } from './progress.js';

interface StartOptions extends StorageFlags {
  readonly foreground?: boolean;
  readonly transport: TransportKind;
  readonly cacheSize?: string;
  readonly notify?: boolean;
  readonly supervised?: boolean;
  readonly keptConnection?: boolean;
  readonly relayed?: boolean;
  readonly temporary?: string;
  readonly automount: boolean;
  /** Empty: the socket in the root. */
  readonly snapshotter?: readonly string[];
  readonly snapshotMounts: MountMode;
  /** `true`: where Docker looks for it. */
  readonly volumePlugin?: string | true;
  readonly logLevel: LogLevel;
  readonly metricsListen?: string;
}

export function registerDaemonCommands(program: Command): void {
  withStorageOptions(
    program
      .command('start')
      .summary('start the daemon')
      .description(
        'Starts the daemon of the pool: image files in dev/, mounts in mnt/, and the control socket. Returns when the daemon serves.',
      )
      .option('--foreground', 'stay in the foreground and log to standard output')
      .addOption(
        new Option('--transport <kind>', 'how the kernel reaches the image files')
          .choices(['fuse-native', 'kernel'])
          .default(defaultTransport()),
      )
      .option(
        '--supervised',
        'let a small process keep the mounts while the daemon is replaced (restart); kernel transport, Linux 6.9',
      )
      .option(
        '--cache-size <size>',
        'leveldb pools: memory for chunks, shared by all devices (256M, or a sixteenth of the memory); kept, as thinfuse set cache_size',
      )
      .addOption(
        new Option(
          '--snapshotter [name]',
          "serve containerd: NAME[=SOCKET][,mounts=bind|loop,size=20G,fs=ext4,lazy=on,containerd=SOCKET], as often as wanted; or a socket alone (snapshotter.sock in the root) for all of containerd's names",
        )
          .preset('')
          .argParser(repeatedText),
      )
      .addOption(
        new Option(
          '--snapshot-mounts <kind>',
          'what containerd mounts, unless a snapshotter has its own setting: a bind mount, or a loop device',
        )
          .choices(MOUNT_MODES)
          .default('bind'),
      )
      .option(
        '--volume-plugin [socket]',
        `serve volumes to Docker and podman; default: ${DEFAULT_PLUGIN_SOCKET}, whose name is the driver's`,
      )
      .option('--no-automount', 'mount nothing by itself (thinfuse automount)')
      .option('--metrics-listen <address>', 'serve Prometheus metrics on [HOST:]PORT as well')
      .addOption(
        new Option('--log-level <level>', 'lowest level that is logged').choices(LOG_LEVELS).default('info'),
      )
      .addOption(new Option('--notify').hideHelp())
      .addOption(new Option('--kept-connection').hideHelp())
      .addOption(new Option('--relayed').hideHelp())
      .addOption(new Option('--temporary <socket>').hideHelp()),
  )
    .addHelpText(
      'after',
      example(
        'thinfuse start',
        'thinfuse start --foreground --opt dm.min_free_space=5%',
        'thinfuse start --snapshotter --volume-plugin',
        'thinfuse start --snapshotter docker --snapshotter kata,mounts=loop,size=20G',
      ),
    )
    .action(async (options: StartOptions, command: Command) => {
      const { layout, json } = contextOf(command);
      const { settings: stored, args: given } = await storageOptions(options);
      const settings = { ...stored, pool: { ...stored.pool, ...cacheOf(options) } };
      for (const warning of settings.warnings) note(warning);
      const snapshotters = parseSnapshotters(options.snapshotter ?? [], {
        root: layout.root,
        mounts: options.snapshotMounts,
      });
      const volumes = volumeSettings(options);
      const sockets = { snapshotters: snapshotters.map(({ socket }) => socket), volumes: volumes?.socket };
      const { logLevel, metricsListen } = options;
      const metrics =
        metricsListen === undefined ? undefined : parseListenAddress(metricsListen, '--metrics-listen');
      if (options.supervised === true && options.transport !== 'kernel')
        throw new ThinError('invalid-argument', '--supervised needs --transport kernel');
      // Options and no object: `ps` shows them, and a supervisor of an older version starts a newer program.
      const args = [
        ...['start', '--foreground', '--root', layout.root, '--transport', options.transport],
        ...['--log-level', logLevel],
        ...(metricsListen === undefined ? [] : ['--metrics-listen', metricsListen]),
        ...(options.cacheSize === undefined ? [] : ['--cache-size', options.cacheSize]),
        ...snapshotters.flatMap((settings) => ['--snapshotter', snapshotterText(settings)]),
        ...['--snapshot-mounts', options.snapshotMounts],
        ...(options.automount ? [] : ['--no-automount']),
        ...(volumes === undefined ? [] : ['--volume-plugin', volumes.socket]),
        ...given,
      ];
      if (options.foreground === true && options.supervised === true) {
        const daemonArgs = [...args, '--notify', '--kept-connection', '--relayed'];
        process.exitCode = await superviseHere(layout, daemonArgs, sockets);
        return;
      }
      if (options.foreground === true) {
        const own = rootLayout(layout.root, { socketName: options.temporary });
        const { daemonParts } = await import('../daemon/composition.js');
        const { runForeground } = await import('../daemon/foreground.js');
        await runForeground(
          await daemonParts(own, settings, options.transport, {
            snapshotters,
            volumes,
            metrics,
            logLevel,
            supervised: options.keptConnection === true,
            automount: options.automount && options.temporary === undefined,
            placeOf: await placesOf(sockets, layout, options),
          }),
          {
            notify: options.notify === true,
            temporary: options.temporary !== undefined,
          },
        );
        return;
      }
      requirePool(layout);
      await refuseLive(layout.socket);
      const began = Date.now();
      const { pid } = await whileWorking({ json }, 'starting:', (say) =>
        asking(
          async () => say((await lastMessage(layout.log, began)) || 'opening the pool'),
          () =>
            openWhenFree(async () => {
              await requireNotBeingReplaced(layout);
              return spawnDaemon({
                layout,
                temporary: false,
                args: [...args, '--notify', ...(options.supervised === true ? ['--supervised'] : [])],
              });
            }),
        ),
      );
      printResult(
        { layout, json },
        { pid, root: layout.root, socket: layout.socket },
        `serving ${layout.root} (pid ${pid})`,
      );
    });

  program
    .command('stop')
    .summary('stop the daemon')
    .description(
      'Unmounts everything, commits and stops the daemon. Fails while a process uses a mounted device.',
    )
    .option('-f, --force', 'unmount devices in use lazily')
    .addHelpText('after', example('thinfuse stop'))
    .action(async (options: { force?: boolean }, command: Command) => {
      const context = contextOf(command);
      const { pid, lacks } = await stopDaemon(context, { force: options.force === true });
      printResult(context, { pid, root: context.layout.root, lacks: lacks ?? null }, `stopped (pid ${pid})`);
      if (lacks !== undefined) throw new ThinError('incomplete', lacks);
    });

  program
    .command('restart')
    .summary('replace the daemon under its mounts')
    .description(
      'Replaces the daemon by the program that is installed now. Devices stay mounted, and their users see a short pause. Needs a daemon that was started with --supervised.',
    )
    .addHelpText('after', example('thinfuse restart'))
    .action(async (_options: object, command: Command) => {
      const context = contextOf(command);
      const old = await withDaemon(context, async (caller) => {
        const status = await caller.call('status', {});
        await caller.call('restart', {});
        return status.pid;
      });
      const { nextDaemon } = await import('../daemon/daemon-end.js');
      const pid = await nextDaemon(context.layout, old);
      printResult(context, { pid, root: context.layout.root }, `serving ${context.layout.root} (pid ${pid})`);
    });
}

function volumeSettings({ volumePlugin }: StartOptions): { socket: string } | undefined {
  if (volumePlugin === undefined) return undefined;
  return { socket: volumePlugin === true ? DEFAULT_PLUGIN_SOCKET : path.resolve(volumePlugin) };
}

/** Where the adapters of a daemon in this process listen. */
async function placesOf(
  sockets: AdapterSockets,
  layout: RootLayout,
  { relayed }: StartOptions,
): Promise<(socket: string) => AdapterPlace> {
  const { ownPlaces, placesBehindRelays } = await import('../daemon/adapter-places.js');
  if (relayed !== true) return ownPlaces(sockets, new ActivatedSockets());
  const lost = process.connected ? once(process, 'disconnect') : Promise.resolve();
  return placesBehindRelays(sockets, layout, lost);
}

/** Returns with the last daemon. */
async function superviseHere(
  layout: RootLayout,
  args: readonly string[],
  sockets: AdapterSockets,
): Promise<number> {
  const { supervise } = await import('../daemon/supervisor.js');
  const { relaysFor } = await import('../daemon/adapter-places.js');
  process.chdir('/');
  return supervise({
    layout,
    args,
    relays: relaysFor(sockets, layout, new ActivatedSockets()),
    notify: (message) => {
      if (process.connected) process.send?.(message);
    },
    say: note,
  });
}

/** @throws ThinError invalid-argument */
function cacheOf({ cacheSize }: StartOptions): { cacheSize?: number } {
  return cacheSize === undefined ? {} : { cacheSize: parseCacheSize(cacheSize, '--cache-size') };
}

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { pino } from 'pino';
import type { MakeAdapter } from '../../src/adapter/adapter.js';
import { Daemon, type DaemonParts } from '../../src/daemon/daemon.js';
import type {
  DeviceHost,
  FreshMount,
  LeftUndone,
  Mounted,
  MountRequest,
  RootPermissions,
} from '../../src/service/device-host.js';
import type { EventHub } from '../../src/daemon/event-hub.js';
import { ProjectionWriter } from '../../src/service/projection-writer.js';
import { rootLayout } from '../../src/config/root-layout.js';
import { snapshotAdapters } from '../../src/containerd/snapshot-adapter.js';
import type { SnapshotterSettings } from '../../src/containerd/snapshotter-settings.js';
import { volumeAdapter, type VolumeSettings } from '../../src/volumes/volume-adapter.js';
import { ChildProcessExec } from '../../src/host/exec.js';
import { LoopDevices } from '../../src/host/loop-devices.js';
import { StaleCleaner } from '../../src/host/stale.js';
import { ViewTargets } from '../../src/host/view-targets.js';
import { ThinError } from '../../src/errors/thin-error.js';
import type { ImageDirectory } from '../../src/io/image-file.js';
import type { Transport } from '../../src/fuse/transport.js';
import { FakePool } from './fake-pool.js';

/** A host whose mounts are lines in a log. */
export class FakeHost implements DeviceHost {
  readonly log: string[] = [];
  /** Targets whose filesystem somebody else has mounted too. */
  readonly left = new Set<string>();
  /** Loop devices by image, whoever attached them. */
  readonly attached = new Map<string, string>();
  /** Targets that a process works in. */
  readonly busy = new Set<string>();
  usedInodes = 3;
  /** By name: what a mount of the device waits for, once it has begun. */
  readonly held = new Map<string, Promise<void>>();
  /** What the next mount fails with. */
  failure: Error | undefined;
  /** Filesystems have logs that cannot be replayed. */
  isUnreplayable = false;
  readonly #leaving = new Set<string>();
  #loops = 0;

  async mount({ image, target, filesystem, readOnly, log }: MountRequest): Promise<FreshMount> {
    const failure = this.failure;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
    if (this.isUnreplayable && log !== undefined) throw new ThinError('tool-failed', 'the log is not clean');
    const name = image.split('-').at(-1) ?? '';
    this.log.push(`mount ${name}${readOnly ? ' ro' : ''}`);
    await this.held.get(name);
    return { target, loop: `/dev/loop${this.#loops++}`, filesystem, skippedLog: this.isUnreplayable };
  }

  async unmount({ target }: Mounted, { lazily }: { lazily: boolean }): Promise<void> {
    if (this.busy.has(target) && !lazily) throw new ThinError('busy', `${target} is in use`);
    if (this.left.has(target) && !lazily)
      throw new ThinError('busy', `${target} is in use elsewhere`, { details: { stage: 'detach' } });
    this.log.push(`unmount ${target.split('/').at(-1) ?? ''}${lazily ? ' lazily' : ''}`);
  }

  async recover({ frozen, unfinished }: LeftUndone): Promise<readonly string[]> {
    return [...frozen, ...unfinished].map((image) => `recovered ${image}`);
  }

  async withdraw({ target }: Mounted): Promise<boolean> {
    if (this.busy.has(target)) return false;
    this.log.push(`withdraw ${target.split('/').at(-1) ?? ''}`);
    return true;
  }

  async restore({ target }: Mounted): Promise<boolean> {
    this.log.push(`restore ${target.split('/').at(-1) ?? ''}`);
    return false;
  }

  /** Loop devices whose mounts another program undid. */
  readonly undone = new Set<string>();

  async unmounted<T extends Mounted>(mounts: readonly T[]): Promise<readonly T[]> {
    return mounts.filter(({ loop }) => this.undone.has(loop));
  }

  async setPermissions(target: string, { mode, uid, gid }: RootPermissions): Promise<void> {
    this.log.push(
      `permissions ${target.split('/').at(-1) ?? ''} ${mode?.toString(8) ?? ''} ${uid ?? ''}:${gid ?? ''}`,
    );
  }

  async attach(image: string, { readOnly }: { readOnly: boolean }): Promise<{ loop: string }> {
    this.log.push(`attach ${image.split('-').at(-1) ?? ''}${readOnly ? ' ro' : ''}`);
    const loop = `/dev/loop${this.#loops++}`;
    this.attached.set(image, loop);
    return { loop };
  }

  async growAttached(loop: string, _filesystem: string, size: number): Promise<void> {
    this.log.push(`grow ${loop} ${size}`);
  }

  async loopOf(image: string): Promise<string | undefined> {
    return this.attached.get(image);
  }

  async detach(loop: string): Promise<void> {
    this.#leaving.add(loop);
    if (this.busy.has(loop)) throw new ThinError('busy', `${loop} is in use`);
    this.log.push('detach');
    for (const [image, on] of this.attached) if (on === loop) this.attached.delete(image);
  }

  async loopState(loop: string): Promise<'attached' | 'leaving' | 'gone'> {
    if (!this.#leaving.has(loop)) return 'attached';
    return this.busy.has(loop) ? 'leaving' : 'gone';
  }

  async bare(target: string): Promise<void> {
    this.log.push(`bare ${target.split('/').at(-1) ?? ''}`);
  }

  async inodes(): Promise<number> {
    return this.usedInodes;
  }

  async grow(_mounted: Mounted, _filesystem: string, size: number): Promise<void> {
    this.log.push(`grow to ${size}`);
  }

  async bound({ target }: Mounted, _filesystem: string, limit: number | undefined): Promise<void> {
    this.log.push(`bound ${target.split('/').at(-1) ?? ''} to ${limit ?? 'all'}`);
  }

  async furnish(_target: string, name: string): Promise<void> {
    this.log.push(`furnish ${name}`);
  }

  async frozen<T>(_image: string, work: () => Promise<T>): Promise<T> {
    this.log.push('freeze');
    try {
      return await work();
    } finally {
      this.log.push('thaw');
    }
  }

  async trim(target: string): Promise<number> {
    this.log.push(`trim ${target.split('/').at(-1) ?? ''}`);
    return 4096;
  }

  async format(): Promise<{ uuid: string }> {
    this.log.push('format');
    return { uuid: '11111111-1111-4111-8111-111111111111' };
  }

  makeViewTarget(): Promise<string> {
    return Promise.reject(new Error('no target outside of the pool is expected'));
  }

  isViewTarget(): boolean {
    return false;
  }

  async makeTarget(): Promise<boolean> {
    return true;
  }

  async removeTarget(target: string): Promise<void> {
    this.log.push(`rmdir ${target.split('/').at(-1) ?? ''}`);
  }

  async withdrawOthers(): Promise<readonly string[]> {
    return [];
  }
}

export interface FakeDaemon {
  readonly daemon: Daemon;
  readonly pool: FakePool;
  readonly host: FakeHost;
  readonly socket: string;
  /** As if somebody unmounted the FUSE folder. */
  readonly breakMount: () => void;
  /** What the transport would serve. */
  readonly directory: ImageDirectory;
  readonly parts: DaemonParts;
}

/** The real daemon, its socket included, on a pool, a transport and a host that are not real. */
export async function startFakeDaemon(
  root: string,
  options: {
    baseInitialized?: boolean;
    pool?: FakePool;
    snapshotter?: SnapshotterSettings;
    snapshotters?: readonly SnapshotterSettings[];
    volumes?: VolumeSettings;
    adapters?: readonly MakeAdapter[];
    events?: EventHub;
  } = {},
): Promise<FakeDaemon> {
  await mkdir(root, { recursive: true });
  const layout = rootLayout(root);
  const pool = options.pool ?? new FakePool(options);
  const log = pino({ level: 'silent' });
  const host = new FakeHost();
  const exec = new ChildProcessExec();
  let served: ImageDirectory | undefined;
  let breakMount: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    breakMount = resolve;
  });
  const transport: Transport = {
    kind: 'fuse-native',
    mountPoint: layout.devices,
    supportsDiscard: true,
    mount: async () => undefined,
    unmount: async () => breakMount(),
    ended,
  };
  const parts: DaemonParts = {
    layout,
    ...(options.events === undefined ? {} : { events: options.events }),
    openPool: async () => pool,
    poolName: 'docker-8:1-42-pool',
    statusLine: () => '1 2/3 4/5 - rw',
    fileNameOf: (name) => `docker-8:1-42-${name}`,
    projection: (from) =>
      new ProjectionWriter(
        from,
        async () => undefined,
        () => undefined,
      ),
    transport: (directory) => {
      served = directory;
      return transport;
    },
    host,
    doctor: () => ({
      loops: new LoopDevices(exec),
      stale: new StaleCleaner(exec, new LoopDevices(exec)),
      query: { devices: layout.devices },
      viewTargets: new ViewTargets('fake', layout.root),
      drifted: async () => [],
      rewrite: async () => undefined,
    }),
    clearStale: async () => [],
    configure: async () => undefined,
    adapters: [
      ...snapshotAdapters(
        options.snapshotters ?? (options.snapshotter === undefined ? [] : [options.snapshotter]),
        log,
      ),
      ...(options.volumes === undefined ? [] : [volumeAdapter(options.volumes, log)]),
      ...(options.adapters ?? []),
    ],
    log,
  };
  const daemon = await Daemon.start(parts);
  assert(served !== undefined, 'a daemon asks for its transport');
  return { daemon, pool, host, socket: layout.socket, breakMount, parts, directory: served };
}

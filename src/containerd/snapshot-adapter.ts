import type { Logger } from 'pino';
import type { MakeAdapter } from '../adapter/adapter.js';
import { AdapterCalls } from '../adapter/adapter-calls.js';
import { PoolAdapter, type AdapterPlace } from '../adapter/pool-adapter.js';
import type { ServedPool } from '../service/pool-service.js';
import { BASE_NAME } from '../format/device-name.js';
import { DiffService } from './diff/diff-service.js';
import { Differ } from './diff/differ.js';
import { LazyLayers } from './lazy-layers.js';
import { SnapshotBases } from './snapshot-bases.js';
import { SnapshotIndex } from './snapshot-index.js';
import { SnapshotMounts } from './snapshot-mounts.js';
import { SnapshotServer } from './snapshot-server.js';
import { USUAL_CONTAINERD, type SnapshotterSettings } from './snapshotter-settings.js';
import { Snapshotters } from './snapshotters.js';

/** The snapshotters of a daemon, each on its socket, for containerd to use the pool through. */
export function snapshotAdapters(
  all: readonly SnapshotterSettings[],
  log: Logger,
  placeOf: (socket: string) => AdapterPlace = (socket) => ({ socket }),
): MakeAdapter[] {
  let core: SnapshotCore | undefined;
  return all.map((settings, at) => (served) => {
    core ??= new SnapshotCore(served, log);
    sayFilesystem(settings, served, log);
    return new SnapshotAdapter(settings, { core, isFirst: at === 0, log, place: placeOf(settings.socket) });
  });
}

function sayFilesystem({ name, filesystem }: SnapshotterSettings, { pool }: ServedPool, log: Logger): void {
  const usual = pool.device(BASE_NAME)?.filesystem;
  if (filesystem === undefined || usual === undefined || filesystem === usual) return;
  const who = name === undefined ? 'the snapshotter' : `the snapshotter ${name}`;
  log.info(
    { event: 'snapshotter', filesystem },
    `new images of ${who} are ${filesystem}; the pool's base device is ${usual}`,
  );
}

/** What all snapshotters of a pool share. */
class SnapshotCore {
  readonly served: ServedPool;
  readonly mounts: SnapshotMounts;
  readonly index: SnapshotIndex;
  readonly snapshotters: Snapshotters;

  constructor(served: ServedPool, log: Logger) {
    this.served = served;
    this.mounts = new SnapshotMounts(served);
    this.index = new SnapshotIndex(served.pool);
    this.snapshotters = new Snapshotters(
      served,
      this.index,
      this.mounts,
      new SnapshotBases(served),
      new LazyLayers(served.pool, log),
      ({ name, snapshots }) =>
        log.warn(
          { event: 'snapshotter', name, snapshots },
          `${snapshots} snapshots of older versions, which recorded no names, belong to the snapshotter ${JSON.stringify(name)} from now on, because it asked first`,
        ),
    );
  }
}

class SnapshotAdapter extends PoolAdapter {
  readonly #core: SnapshotCore;
  /** Does for all of them what is done once. */
  readonly #isFirst: boolean;
  readonly #differ: Differ;

  constructor(
    settings: SnapshotterSettings,
    {
      core,
      isFirst,
      log,
      place,
    }: {
      readonly core: SnapshotCore;
      readonly isFirst: boolean;
      readonly log: Logger;
      readonly place: AdapterPlace;
    },
  ) {
    const { name, containerd = USUAL_CONTAINERD } = settings;
    const differ = new Differ(core.served, core.index, containerd);
    const calls = new AdapterCalls({
      event: 'snapshot',
      quiet: new Set(['Stat', 'List', 'Usage', 'Mounts']),
      // containerd asks for what may not be there, or be there already.
      expected: new Set(['not-found', 'exists']),
      log,
    });
    super({
      event: 'snapshotter',
      ...{ place, calls, log },
      server: new SnapshotServer({
        ...{ settings, calls, snapshotters: core.snapshotters },
        others: [new DiffService(differ, calls)],
      }),
      says: {
        who: name === undefined ? 'a snapshotter' : `the snapshotter ${name}`,
        serving: name === undefined ? 'containerd is served' : `containerd is served as ${name}`,
        reapFailed: 'devices of removed snapshots are still there',
      },
    });
    this.#core = core;
    this.#isFirst = isFirst;
    this.#differ = differ;
  }

  /** A layer may take minutes. */
  override async pause(): Promise<void> {
    const paused = super.pause();
    this.#differ.interrupt();
    await paused;
  }

  protected override async takeOver(): Promise<void> {
    if (this.#isFirst) await this.#core.mounts.takeOver(this.#core.index.devices());
  }

  protected async reap(): Promise<void> {
    if (this.#isFirst && this.#core.snapshotters.hasRetired) await this.#core.snapshotters.reap();
  }

  protected override async release(): Promise<void> {
    if (this.#isFirst) await this.#core.mounts.releaseLoops();
  }
}

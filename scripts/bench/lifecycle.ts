import { commandTimes } from './commands.js';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { writeRange } from './fio.js';
import { memoryOf } from './host.js';
import { ACTIVE, STORM } from './jobs.js';
import type { Scale } from './run.js';
import type { Containers, OpenTarget, Snapshots } from './targets/target.js';

/** Enough for a median that a second run finds again. */
const REPEATS = 21;
/** Each starts a Node.js. */
const CLI_REPEATS = 7;
const STORM_WIDTH = 8;

/** Takes a value of a job, in its unit. */
export type Record = (job: string, value: number) => void;

export interface LifecycleStep {
  /** What it records. */
  readonly jobs: readonly string[];
  /** Default: the first. What takes longest comes when all else is measured. */
  readonly round?: 'last';
  /** Undefined: this target has no such thing. */
  run(target: OpenTarget, scale: Scale, record: Record, folder: string): Promise<void> | undefined;
}

/** In the order in which they run; each leaves the target as it was, but the last. */
export const LIFECYCLE_STEPS: readonly LifecycleStep[] = [
  {
    jobs: ['snapshot', 'sync'],
    run: ({ snapshots }, _scale, record, folder) =>
      snapshots && snapshotBesideSync(snapshots, record, folder),
  },
  {
    jobs: ['snapshot-cli'],
    run: ({ snapshots }, _scale, record) =>
      snapshots?.takeByCli &&
      repeat(CLI_REPEATS, async (name) => {
        record('snapshot-cli', await milliseconds(() => snapshots.takeByCli!(name)));
        await snapshots.drop(name);
      }),
  },
  {
    jobs: ['cli-node', 'cli-ls', 'cli-status', 'cli-mount', 'clones', 'clones-mounted', 'copies'],
    run: ({ commands }, _scale, record) => commands && commandTimes(commands, record),
  },
  {
    jobs: ['create', 'create-mount', 'delete'],
    run: ({ containers }, _scale, record) => containers && containerLatency(containers, record),
  },
  {
    jobs: ['storm', 'storm-total'],
    run: ({ containers }, _scale, record) =>
      containers === undefined || containers.mountOnly === true ? undefined : storm(containers, record),
  },
  {
    jobs: ['rss-after', 'pss-after'],
    run: (target, _scale, record) => {
      const { containers, daemons } = target;
      return containers && daemons && memoryWithActive(containers, daemons, record);
    },
  },
  {
    jobs: ['seq-large', 'snapshot-large', 'delete-large'],
    round: 'last',
    run: (target, scale, record) => {
      const { snapshots, batches } = target;
      if (batches !== undefined && scale.large > 0)
        return batches(scale).then((rate) => record('seq-large', rate));
      if (snapshots === undefined || scale.large <= scale.size) return undefined;
      return writeRange(target.device(), scale.size, scale.large, scale).then((rate) =>
        record('seq-large', rate),
      );
    },
  },
  {
    jobs: ['snapshot-large', 'delete-large'],
    round: 'last',
    run: ({ snapshots }, scale, record) =>
      snapshots === undefined || scale.large === 0 ? undefined : large(snapshots, record),
  },
];

export function recordMemoryBefore({ daemons }: OpenTarget, record: Record): void {
  if (daemons === undefined) return;
  const { rss, pss } = memoryOf(daemons());
  record('rss-before', rss);
  record('pss-before', pss);
}

async function snapshotLatency(snapshots: Snapshots, job: string, record: Record): Promise<void> {
  await repeat(REPEATS, async (name) => {
    record(job, await milliseconds(() => snapshots.take(name)));
    await snapshots.drop(name);
  });
}

/** By turns, so that both meet the same disk. */
async function snapshotBesideSync(snapshots: Snapshots, record: Record, folder: string): Promise<void> {
  const file = await open(path.join(folder, 'synced'), 'w+');
  const block = Buffer.alloc(4096, 1);
  try {
    await file.write(Buffer.alloc(REPEATS * block.length), 0, REPEATS * block.length, 0);
    await file.sync();
    let at = 0;
    await repeat(REPEATS, async (name) => {
      const written = async (): Promise<void> => {
        await file.write(block, 0, block.length, at);
        await file.datasync();
      };
      record('sync', await milliseconds(written));
      at += block.length;
      record('snapshot', await milliseconds(() => snapshots.take(name)));
      await snapshots.drop(name);
    });
  } finally {
    await file.close();
  }
}

async function containerLatency(containers: Containers, record: Record): Promise<void> {
  await containers.prepare();
  await repeat(REPEATS, async (name) => {
    const created = await milliseconds(() => containers.create(name));
    const mounted = await milliseconds(() => containers.mount(name));
    if (containers.mountOnly !== true) record('create', created);
    record('create-mount', containers.mountOnly === true ? mounted : created + mounted);
    await containers.umount(name);
    const removed = await milliseconds(() => containers.remove(name));
    if (containers.mountOnly !== true) record('delete', removed);
  });
}

async function storm(containers: Containers, record: Record): Promise<void> {
  await containers.prepare();
  const names = Array.from({ length: STORM }, (_, index) => `storm-${index}`);
  const waiting = [...names];
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const next = name;
      record('storm', await milliseconds(() => containers.create(next)));
    }
  };
  record('storm-total', await milliseconds(() => Promise.all(Array.from({ length: STORM_WIDTH }, worker))));
  for (const name of names) await containers.remove(name);
}

async function memoryWithActive(
  containers: Containers,
  daemons: () => readonly number[],
  record: Record,
): Promise<void> {
  await containers.prepare();
  await repeat(ACTIVE, async (name) => {
    await containers.create(name);
    await containers.mount(name);
  });
  const { rss, pss } = memoryOf(daemons());
  record('rss-after', rss);
  record('pss-after', pss);
  await repeat(ACTIVE, async (name) => {
    await containers.umount(name);
    await containers.remove(name);
  });
}

async function large(snapshots: Snapshots, record: Record): Promise<void> {
  await snapshotLatency(snapshots, 'snapshot-large', record);
  await snapshots.retireDevice();
  record('delete-large', await milliseconds(() => snapshots.removeDevice()));
}

async function repeat(times: number, action: (name: string) => Promise<void>): Promise<void> {
  for (let index = 1; index <= times; index++) await action(`made-${index}`);
}

async function milliseconds(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

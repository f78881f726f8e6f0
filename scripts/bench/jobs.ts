import { CLONES, COPIES } from './commands.js';
import type { Scale } from './run.js';

export interface Job {
  readonly name: string;
  readonly title: string;
  readonly unit: 'IOPS' | 'MB/s' | 'tps' | 'ms' | 'MiB';
}

export interface FioJob extends Job {
  /** A fresh snapshot of the device that the other jobs filled, made for this job alone. */
  readonly on: 'device' | 'snapshot';
  /** The device is read once from end to end before. */
  readonly warm: boolean;
  readonly options: (scale: Scale) => readonly string[];
  /** The job that counts the slowest write of this one. */
  readonly worst?: string;
  /** In the last round only, since it takes long. Default: in each. */
  readonly once?: boolean;
}

export function better(job: Job): 'higher' | 'lower' {
  return ['IOPS', 'MB/s', 'tps'].includes(job.unit) ? 'higher' : 'lower';
}

function timed(rw: string, blockSize: string, depth: number, ...more: readonly string[]): FioJob['options'] {
  return ({ seconds }) => [
    `--rw=${rw}`,
    `--bs=${blockSize}`,
    `--iodepth=${depth}`,
    '--time_based',
    `--runtime=${seconds}`,
    ...more,
  ];
}

const LANDED = '--end_fsync=1';
const plainly = { on: 'device', warm: false } as const;
const cached = { on: 'device', warm: true } as const;

/** Maps every block of the device; it runs first, asked for or not. */
export const FILL: FioJob = {
  ...plainly,
  name: 'seq-write-fresh',
  title: '1 MiB sequential write, fresh blocks, end_fsync',
  unit: 'MB/s',
  options: () => ['--rw=write', '--bs=1M', '--iodepth=16', LANDED],
};

/** Every chunk of a snapshot is hit about once, so that the copies are not lost among overwrites. */
const FRESH_CHUNK = 64 * 1024;
const FRESH_BLOCK = 4096;
/** A slow target does a part of it. */
const FRESH_SECONDS_FACTOR = 6;

/** Seconds in which whatever is put off has come due. */
const LONG_SECONDS = 60;

/** In the order in which they run. */
export const FIO_JOBS: readonly FioJob[] = [
  FILL,
  {
    ...plainly,
    name: 'seq-write',
    title: '1 MiB sequential write, mapped blocks, end_fsync',
    unit: 'MB/s',
    options: timed('write', '1M', 16, LANDED),
  },
  {
    ...plainly,
    name: 'seq-read',
    title: '1 MiB sequential read',
    unit: 'MB/s',
    options: timed('read', '1M', 16),
  },
  {
    ...cached,
    name: 'rand-read-1',
    title: '4 KiB random read, depth 1',
    unit: 'IOPS',
    options: timed('randread', '4k', 1),
  },
  {
    ...cached,
    name: 'rand-read-16',
    title: '4 KiB random read, depth 16',
    unit: 'IOPS',
    options: timed('randread', '4k', 16),
  },
  {
    ...plainly,
    name: 'rand-write-1',
    title: '4 KiB random write, mapped blocks, depth 1',
    unit: 'IOPS',
    options: timed('randwrite', '4k', 1, LANDED),
  },
  {
    ...plainly,
    name: 'rand-write-16',
    title: '4 KiB random write, mapped blocks, depth 16',
    unit: 'IOPS',
    options: timed('randwrite', '4k', 16, LANDED),
  },
  {
    ...plainly,
    name: 'mixed-16',
    title: '4 KiB random 70 % read, 30 % write, depth 16',
    unit: 'IOPS',
    options: timed('randrw', '4k', 16, '--rwmixread=70', LANDED),
  },
  {
    ...plainly,
    name: 'fsync',
    title: '4 KiB random write + fsync each, depth 1',
    unit: 'IOPS',
    options: timed('randwrite', '4k', 1, '--fsync=1'),
  },
  {
    ...plainly,
    name: 'fsync-8',
    title: 'the same, 8 jobs at once',
    unit: 'IOPS',
    options: timed('randwrite', '4k', 1, '--fsync=1', '--numjobs=8', '--group_reporting'),
  },
  {
    ...plainly,
    name: 'rand-write-60',
    title: `4 KiB random write, depth 16, ${LONG_SECONDS} s`,
    unit: 'IOPS',
    options: (scale) => timed('randwrite', '4k', 16, LANDED)({ ...scale, seconds: LONG_SECONDS }),
    worst: 'rand-write-60-worst',
    once: true,
  },
  {
    name: 'snap-write-16',
    title: '4 KiB random write onto a fresh snapshot, depth 16, end_fsync',
    unit: 'IOPS',
    on: 'snapshot',
    warm: false,
    options: ({ size, seconds }) => [
      '--rw=randwrite',
      '--bs=4k',
      '--iodepth=16',
      `--io_size=${String(Math.max(1, Math.floor(size / FRESH_CHUNK)) * FRESH_BLOCK)}`,
      `--runtime=${seconds * FRESH_SECONDS_FACTOR}`,
      LANDED,
    ],
  },
];

export const PGBENCH_SCALE = 10;
export const PGBENCH_CLIENTS = 4;
export const STORM = 200;
export const ACTIVE = 10;

/** Measured once, in the first round; medians over many runs of each. */
const LIFECYCLE_JOBS: readonly Job[] = [
  { name: 'rand-write-60-worst', title: 'the slowest write of these', unit: 'ms' },
  { name: 'snapshot', title: 'snapshot of the idle device', unit: 'ms' },
  { name: 'sync', title: 'write and fdatasync of a block that is there, beside it', unit: 'ms' },
  { name: 'seq-large', title: '1 MiB sequential write, fresh blocks up to --large, end_fsync', unit: 'MB/s' },
  { name: 'snapshot-cli', title: 'snapshot of it through the CLI, which starts a Node.js', unit: 'ms' },
  { name: 'cli-node', title: '`node -e 0`, beside the next three', unit: 'ms' },
  { name: 'cli-ls', title: '`thinfuse ls`', unit: 'ms' },
  { name: 'cli-status', title: '`thinfuse status`', unit: 'ms' },
  { name: 'cli-mount', title: '`thinfuse mount` of a device that is mounted', unit: 'ms' },
  { name: 'clones', title: `\`thinfuse clone\` of a mounted device, ${CLONES} names`, unit: 'ms' },
  { name: 'clones-mounted', title: `\`thinfuse clone --mount\` of 60 MB, ${COPIES} names`, unit: 'ms' },
  { name: 'copies', title: `${COPIES} times \`cp -a\` of the same`, unit: 'ms' },
  { name: 'snapshot-large', title: 'snapshot of it with --large mapped', unit: 'ms' },
  { name: 'create', title: 'container create', unit: 'ms' },
  { name: 'create-mount', title: 'container create + mount (`plain`, `nbdfuse`: mount alone)', unit: 'ms' },
  { name: 'delete', title: 'delete of a container', unit: 'ms' },
  { name: 'delete-large', title: 'delete of the device with --large mapped', unit: 'ms' },
  { name: 'storm', title: `${STORM} container creates, 8 at a time: each`, unit: 'ms' },
  { name: 'storm-total', title: `${STORM} container creates, 8 at a time: all`, unit: 'ms' },
  { name: 'rss-before', title: 'daemon, RSS, one device active', unit: 'MiB' },
  { name: 'pss-before', title: 'daemon, PSS, one device active', unit: 'MiB' },
  { name: 'rss-after', title: `daemon, RSS, ${ACTIVE} more mounted, after all jobs`, unit: 'MiB' },
  { name: 'pss-after', title: `daemon, PSS, ${ACTIVE} more mounted, after all jobs`, unit: 'MiB' },
];

export const PGBENCH: Job = {
  name: 'pgbench',
  title: `pgbench, scale ${PGBENCH_SCALE}, ${PGBENCH_CLIENTS} clients, on xfs`,
  unit: 'tps',
};

export const JOBS: readonly Job[] = [...FIO_JOBS, PGBENCH, ...LIFECYCLE_JOBS];

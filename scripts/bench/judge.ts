import { JOBS, better } from './jobs.js';
import { medianOf, type Run } from './run.js';
import { advantage } from './statistics.js';

type Pool = 'direct' | 'leveldb';

/** One figure that thinfuse is to reach, by its medians. */
interface Wanted {
  readonly title: string;
  readonly pool: Pool;
  readonly wanted: string;
  readonly reached: (median: Medians, target: string) => number | undefined;
  readonly unit: '×' | 'ms';
  readonly atLeast?: number;
  readonly atMost?: number;
  /** Of a run with such data, or without; default: of each. */
  readonly compressible?: boolean;
}

type Medians = (job: string, target: string) => number | undefined;

export interface Verdict {
  readonly title: string;
  readonly target: string;
  readonly wanted: string;
  readonly reached: number | undefined;
  readonly unit: '×' | 'ms';
  /** Undefined: something was not measured. */
  readonly held: boolean | undefined;
}

function times(job: string, pool: Pool, factor: number, peer: string, note = ''): Wanted {
  const found = JOBS.find(({ name }) => name === job);
  if (found === undefined) throw new Error(`there is no job ${job}`);
  return {
    title: found.title,
    pool,
    wanted: `≥ ${factor}× ${peer}${note}`,
    unit: '×',
    atLeast: factor,
    reached: (median, target) => advantage(median(job, target), median(job, peer), better(found)),
  };
}

/** Two jobs of one target. */
function beside(title: string, pool: Pool, job: string, other: string, factor: number): Wanted {
  return {
    title,
    pool,
    wanted: `≤ ${factor}× ${other}`,
    unit: '×',
    atMost: factor,
    reached: (median, target) => {
      const [ours, theirs] = [median(job, target), median(other, target)];
      return ours === undefined || theirs === undefined ? undefined : ours / theirs;
    },
  };
}

function lifecycle(pool: Pool): readonly Wanted[] {
  return [
    {
      title: 'snapshot of the idle device, p50',
      pool,
      wanted: '≤ 5 ms',
      unit: 'ms',
      atMost: 5,
      reached: (median, target) => median('snapshot', target),
    },
    {
      title: 'the same with --large mapped, p50',
      pool,
      wanted: '≤ 5 ms',
      unit: 'ms',
      atMost: 5,
      reached: (median, target) => median('snapshot-large', target),
    },
    {
      title: 'snapshot with --large mapped beside one with --size mapped',
      pool,
      wanted: '≤ 1.2×',
      unit: '×',
      atMost: 1.2,
      reached: (median, target) =>
        advantage(median('snapshot-large', target), median('snapshot', target), 'higher'),
    },
    {
      title: 'container create + mount beyond a mount of plain, p50',
      pool,
      wanted: '≤ 60 ms',
      unit: 'ms',
      atMost: 60,
      reached: (median, target) => {
        const [ours, theirs] = [median('create-mount', target), median('create-mount', 'plain')];
        return ours === undefined || theirs === undefined ? undefined : ours - theirs;
      },
    },
    ...['ls', 'status', 'mount'].map((command) =>
      beside(`thinfuse ${command}`, pool, `cli-${command}`, 'cli-node', 2),
    ),
    beside('20 mounted clones of 60 MB beside `cp -a`', pool, 'clones-mounted', 'copies', 1),
    {
      title: 'clone of 200 names',
      pool,
      wanted: '≤ 4000 ms',
      unit: 'ms',
      atMost: 4000,
      reached: (median, target) => median('clones', target),
    },
    {
      title: 'snapshot of the idle device, beside one sync of a block that is there, p50',
      pool,
      wanted: '≤ 1.2× sync',
      unit: '×',
      atMost: 1.2,
      reached: (median, target) => advantage(median('snapshot', target), median('sync', target), 'higher'),
    },
  ];
}

const WANTED: readonly Wanted[] = [
  times('rand-read-16', 'direct', 3, 'qsd'),
  times('rand-read-16', 'direct', 0.75, 'reflink'),
  times('rand-read-16', 'leveldb', 1.5, 'qsd', ' on cached data'),
  times('rand-write-16', 'direct', 2, 'qsd'),
  times('rand-write-16', 'direct', 0.9, 'reflink'),
  times('rand-write-16', 'leveldb', 1, 'qsd'),
  times('seq-read', 'direct', 2, 'qsd'),
  times('seq-read', 'leveldb', 0.5, 'qsd'),
  times('seq-write', 'direct', 1, 'qsd'),
  times('seq-write-fresh', 'direct', 1.5, 'qsd'),
  times('seq-write', 'leveldb', 0.5, 'qsd'),
  times('seq-write-fresh', 'leveldb', 1, 'qsd'),
  times('snap-write-16', 'direct', 2, 'qsd'),
  times('snap-write-16', 'direct', 1, 'qsd-ext'),
  times('snap-write-16', 'leveldb', 0.5, 'qsd'),
  times('fsync', 'direct', 0.9, 'plain'),
  times('fsync', 'leveldb', 0.7, 'plain'),
  times('fsync-8', 'direct', 0.9, 'plain'),
  times('fsync-8', 'leveldb', 0.7, 'plain'),
  times('rand-write-60', 'direct', 2, 'qsd'),
  times('rand-write-60', 'leveldb', 1, 'qsd'),
  times('seq-large', 'direct', 1, 'qsd'),
  { ...times('seq-large', 'leveldb', 0.6, 'level'), compressible: false },
  { ...times('seq-large', 'leveldb', 1.5, 'level', ', whose data is random'), compressible: true },
  times('pgbench', 'direct', 0.9, 'plain'),
  times('pgbench', 'leveldb', 0.7, 'plain'),
  ...lifecycle('direct'),
  ...lifecycle('leveldb'),
];

/** The figures of a pool kind are looked for at `thinfuse-<kind>`. */
export function judge(run: Run): readonly Verdict[] {
  const isCompressible = run.scale.compressible !== undefined;
  const wantedOf = WANTED.filter(({ compressible }) => (compressible ?? isCompressible) === isCompressible);
  return wantedOf.map(({ title, pool, wanted, unit, atLeast, atMost, reached }) => {
    const target = `thinfuse-${pool}`;
    const value = reached((job, name) => medianOf(run, job, name), target);
    const held =
      value === undefined ? undefined : value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity);
    return { title, target, wanted, reached: value, unit, held };
  });
}

import { JOBS } from '../../scripts/bench/jobs.js';
import type { Run, Shortfall } from '../../scripts/bench/run.js';

/** A run that found these values, by job and target, a value a round. */
export function madeRun(
  found: Record<string, Record<string, readonly number[]>>,
  { targets, shortfalls = [] }: { targets?: readonly string[]; shortfalls?: readonly Shortfall[] } = {},
): Run {
  const names = targets ?? [...new Set(Object.values(found).flatMap((values) => Object.keys(values)))];
  return {
    takenAt: '2026-01-01T00:00:00.000Z',
    command: 'scripts/bench.sh --rounds 3',
    machine: {
      cpu: 'A processor',
      cores: 2,
      memoryBytes: 8 * 2 ** 30,
      kernel: '6.1.0',
      filesystem: 'ext4 /dev/vda',
      load: 0,
    },
    versions: { fio: '3.33' },
    scale: { rounds: 3, seconds: 10, size: 2 ** 30, large: 8 * 2 ** 30 },
    targets: names.map((name) => ({ name, description: `how ${name} is made` })),
    jobs: JOBS.filter(({ name }) => name in found),
    samples: Object.entries(found).flatMap(([job, values]) =>
      Object.entries(values).flatMap(([target, list]) =>
        list.map((value, index) => ({ target, job, round: index + 1, value })),
      ),
    ),
    shortfalls,
  };
}

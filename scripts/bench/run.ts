import type { Job } from './jobs.js';
import { summarize, type Summary } from './statistics.js';

/** One measured value, in the unit of its job. */
export interface Sample {
  readonly target: string;
  readonly job: string;
  /** From 1. */
  readonly round: number;
  readonly value: number;
}

/** What could not be measured, and why. */
export interface Shortfall {
  readonly target: string;
  /** Undefined: the whole target. */
  readonly job: string | undefined;
  readonly reason: string;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  /** Type and source of the filesystem that holds the backing files. */
  readonly filesystem: string;
  /** Average of the minute before the first job: what else kept the machine busy. */
  readonly load: number;
}

/** What one call of the suite found; the JSON file is this, with `summaries` and `judgement` beside it. */
export interface Run {
  readonly takenAt: string;
  /** Repeats the run. */
  readonly command: string;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly scale: Scale;
  readonly targets: readonly { readonly name: string; readonly description: string }[];
  readonly jobs: readonly Job[];
  readonly samples: readonly Sample[];
  readonly shortfalls: readonly Shortfall[];
}

export interface Scale {
  readonly rounds: number;
  /** Of each timed fio job. */
  readonly seconds: number;
  /** Bytes that fio works on. */
  readonly size: number;
  /** Bytes mapped for the jobs named `…-large`; 0 leaves them out. */
  readonly large: number;
  /** By how many percent what is written can be packed; undefined: random bytes. */
  readonly compressible?: number | undefined;
  /** Minutes after which no more is begun. */
  readonly minutes?: number | undefined;
  /** Seconds after which `seq-large` ends, wherever it is; undefined: it is done to its end. */
  readonly largeSeconds?: number | undefined;
}

function summaryOf(run: Run, job: string, target: string): Summary | undefined {
  return summarize(
    run.samples
      .filter((sample) => sample.job === job && sample.target === target)
      .map((sample) => sample.value),
  );
}

export function medianOf(run: Run, job: string, target: string): number | undefined {
  return summaryOf(run, job, target)?.median;
}

/** Summaries by job, then by target; only those that were measured. */
export function summariesOf(run: Run): Record<string, Record<string, Summary>> {
  const found: Record<string, Record<string, Summary>> = {};
  for (const job of run.jobs)
    for (const target of run.targets) {
      const summary = summaryOf(run, job.name, target.name);
      if (summary !== undefined) (found[job.name] ??= {})[target.name] = summary;
    }
  return found;
}

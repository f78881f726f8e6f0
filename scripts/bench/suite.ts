import { accessSync, constants } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { runFio } from './fio.js';
import { run } from './host.js';
import { FILL, FIO_JOBS, PGBENCH } from './jobs.js';
import { LIFECYCLE_STEPS, recordMemoryBefore, type LifecycleStep } from './lifecycle.js';
import { runPgbench } from './pgbench.js';
import type { Sample, Scale, Shortfall } from './run.js';
import { Undo, type OpenTarget, type Target } from './targets/target.js';

export interface Findings {
  readonly samples: Sample[];
  readonly shortfalls: Shortfall[];
}

/** Measures targets one at a time, so that what one leaves to its background does not slow the next. */
export class Suite {
  readonly findings: Findings = { samples: [], shortfalls: [] };
  readonly #scale: Scale;
  readonly #folder: string;
  readonly #wanted: (job: string) => boolean;
  readonly #tell: (text: string) => void;
  readonly #onMeasured: () => Promise<void>;
  /** Milliseconds of `performance.now`. */
  readonly #until: number;

  constructor(options: {
    scale: Scale;
    /** Exists. */
    folder: string;
    /** Undefined: all. */
    jobs: readonly string[] | undefined;
    tell: (text: string) => void;
    /** Something more was measured, or failed. */
    onMeasured?: () => Promise<void>;
  }) {
    this.#scale = options.scale;
    this.#folder = options.folder;
    this.#wanted = (job) => options.jobs?.includes(job) ?? true;
    this.#tell = options.tell;
    this.#onMeasured = options.onMeasured ?? (() => Promise.resolve());
    this.#until = performance.now() + (options.scale.minutes ?? Infinity) * 60_000;
  }

  /** Every target in every round, each round beginning with another one. */
  async run(targets: readonly Target[]): Promise<void> {
    const able = targets.filter((target) => this.#isAble(target));
    for (let round = 1; round <= this.#scale.rounds; round++) {
      const first = (round - 1) % Math.max(1, able.length);
      for (const target of [...able.slice(first), ...able.slice(0, first)])
        await this.#measure(target, round);
    }
  }

  #isAble(target: Target): boolean {
    const missing = target.needs.filter((command) => !isInPath(command));
    if (missing.length > 0) this.#fell(target, undefined, `${missing.join(' and ')} could not be installed`);
    return missing.length === 0;
  }

  async #measure(target: Target, round: number): Promise<void> {
    if (this.#isOver() || (target.only !== undefined && !this.#isDue(target.only, round))) return;
    const undo = new Undo();
    const folder = path.join(this.#folder, target.name);
    const { size, large } = this.#scale;
    this.#tell(`round ${round}: ${target.name}`);
    try {
      await mkdir(folder);
      const open = await target.open({ folder, size, virtualSize: Math.max(size, large) }, undo);
      if (round === 1) recordMemoryBefore(open, (job, value) => this.#record(target, job, round, value));
      if (open.batches === undefined) await this.#runFioJobs(target, open, round);
      if (open.containers !== undefined && this.#wanted(PGBENCH.name) && !this.#isOver())
        await this.#attempt(target, PGBENCH.name, async () => {
          this.#record(target, PGBENCH.name, round, await runPgbench(open.device(), folder, this.#scale));
        });
      await this.#runLifecycle(target, open, { folder, round });
    } catch (error) {
      this.#fell(target, undefined, said(error));
    } finally {
      for (const failure of await undo.run()) this.#fell(target, undefined, `taking it down: ${failure}`);
      await rm(folder, { recursive: true, force: true }).catch((error: unknown) =>
        this.#fell(target, undefined, said(error)),
      );
      await run('sync', []);
    }
  }

  async #runFioJobs(target: Target, open: OpenTarget, round: number): Promise<void> {
    for (const job of FIO_JOBS) {
      if (!this.#wanted(job.name) && job !== FILL) continue;
      if (this.#isOver() || (job.once === true && round < this.#scale.rounds)) continue;
      const measure = async (device: string): Promise<void> => {
        const { value, worst } = await runFio(device, job, this.#scale);
        this.#record(target, job.name, round, value);
        if (job.worst !== undefined) this.#record(target, job.worst, round, worst);
      };
      await this.#attempt(target, job.name, () =>
        job.on === 'device' ? measure(open.device()) : open.onSnapshot?.(measure),
      );
    }
  }

  #isDue({ jobs, round: when }: Pick<LifecycleStep, 'jobs' | 'round'>, round: number): boolean {
    return jobs.some(this.#wanted) && round === (when === 'last' ? this.#scale.rounds : 1);
  }

  #isOver(): boolean {
    return performance.now() > this.#until;
  }

  async #runLifecycle(
    target: Target,
    open: OpenTarget,
    { folder, round }: { readonly folder: string; readonly round: number },
  ): Promise<void> {
    const record = (job: string, value: number): void => this.#record(target, job, round, value);
    for (const step of LIFECYCLE_STEPS)
      if (this.#isDue(step, round) && !this.#isOver())
        await this.#attempt(target, step.jobs.join(', '), () => step.run(open, this.#scale, record, folder));
  }

  /** A job that fails is said to have failed, and the others go on. */
  async #attempt(target: Target, job: string, action: () => Promise<void> | undefined): Promise<void> {
    try {
      await action();
    } catch (error) {
      for (const name of job.split(', ')) this.#fell(target, name, said(error));
    }
    await this.#onMeasured();
  }

  #record(target: Target, job: string, round: number, value: number): void {
    if (this.#wanted(job)) this.findings.samples.push({ target: target.name, job, round, value });
  }

  #fell(target: Target, job: string | undefined, reason: string): void {
    this.#tell(`${target.name}${job === undefined ? '' : `, ${job}`}: ${reason}`);
    this.findings.shortfalls.push({ target: target.name, job, reason });
  }
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isInPath(command: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => {
    try {
      accessSync(path.join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

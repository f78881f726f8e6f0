import { formatBinarySize } from '../../src/config/sizes.js';
import { better, type Job } from './jobs.js';
import type { Verdict } from './judge.js';
import { medianOf, type Run, type Shortfall } from './run.js';
import { advantage } from './statistics.js';

/** What a target has no equivalent of, or was not asked for. */
const NONE = '–';
/** Above it, others were at work on the machine as well. */
const QUIET_LOAD = 0.5;
const OURS = 'thinfuse-';

/** The whole report of a run as Markdown: where it ran, medians, ratios, and what could not be had. */
export function report(run: Run): string {
  return [
    describe(run),
    `Medians of ${run.scale.rounds} round${run.scale.rounds === 1 ? '' : 's'}; the lifecycle's of many runs in the first.`,
    medianTable(run),
    ...ratioTables(run),
    shortfallList(run.shortfalls),
    targetList(run),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

export function medianTable(run: Run): string {
  return table(
    ['', 'unit', ...run.targets.map(({ name }) => name)],
    run.jobs.map((job) => [
      job.title,
      job.unit,
      ...run.targets.map(({ name }) => medianCell(run, job, name)),
    ]),
  );
}

/** One table for each of our targets: how many times as good it is as each other one. */
export function ratioTables(run: Run): readonly string[] {
  return run.targets
    .filter(({ name }) => name.startsWith(OURS))
    .flatMap(({ name: ours }) => {
      const others = run.targets.map(({ name }) => name).filter((name) => name !== ours);
      const rows = run.jobs
        .map((job) => [job.title, ...others.map((other) => ratioCell(run, job, ours, other))])
        .filter((row) => row.slice(1).some((cell) => cell !== NONE));
      if (rows.length === 0) return [];
      return [`\`${ours}\` against the others (above 1: it is better):\n\n${table(['', ...others], rows)}`];
    });
}

export function judgementTable(verdicts: readonly Verdict[]): string {
  return table(
    ['figure', 'pool', 'wanted', 'reached', 'held'],
    verdicts.map(({ title, target, wanted, reached, unit, held }) => [
      title,
      target,
      wanted,
      reached === undefined ? 'not measured' : `${rounded(reached)}${unit === '×' ? '×' : ' ms'}`,
      held === undefined ? '?' : held ? 'yes' : 'no',
    ]),
  );
}

function describe({ machine, versions, scale, takenAt, command }: Run): string {
  const memory = formatBinarySize(machine.memoryBytes);
  const timed = `${scale.seconds} s a job on ${formatBinarySize(scale.size)}, large is ${formatBinarySize(scale.large)}`;
  return [
    `- machine: ${machine.cpu}, ${machine.cores} cores, ${memory} memory, Linux ${machine.kernel}, files on ${machine.filesystem}`,
    `- versions: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}`,
    `- ${takenAt}, ${timed}; every device is a loop device with direct I/O; fio: libaio, direct=1`,
    ...(machine.load > QUIET_LOAD
      ? [
          `- load average before the first job: ${rounded(machine.load)}; figures of a busy machine say little`,
        ]
      : []),
    `- again: \`${command}\``,
  ].join('\n');
}

function medianCell(run: Run, job: Job, target: string): string {
  const median = medianOf(run, job.name, target);
  if (median !== undefined) return rounded(median);
  const { shortfalls } = run;
  if (shortfalls.some((shortfall) => shortfall.target === target && shortfall.job === job.name))
    return 'failed';
  const all = shortfalls.some((shortfall) => shortfall.target === target && shortfall.job === undefined);
  return all ? 'n/a' : NONE;
}

function ratioCell(run: Run, job: Job, ours: string, other: string): string {
  const ratio = advantage(medianOf(run, job.name, ours), medianOf(run, job.name, other), better(job));
  return ratio === undefined ? NONE : `${rounded(ratio)}×`;
}

function shortfallList(shortfalls: readonly Shortfall[]): string {
  if (shortfalls.length === 0) return '';
  const lines = shortfalls.map(
    ({ target, job, reason }) => `- \`${target}\`${job === undefined ? '' : `, ${job}`}: ${reason}`,
  );
  return `Could not be had:\n\n${[...new Set(lines)].join('\n')}`;
}

function targetList(run: Run): string {
  return run.targets.map(({ name, description }) => `- \`${name}\`: ${description}`).join('\n');
}

/** Three leading digits at least, thousands apart: `1.23`, `45.6`, `12,345`. */
export function rounded(value: number): string {
  const size = Math.abs(value);
  const decimals = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return value.toLocaleString('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/**
 * Columns are padded, so that it reads as a table in a terminal, too; the first stands left, figures right.
 */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(3, ...[head, ...rows].map((row) => (row[column] ?? '').length), title.length),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

import { parseArgs } from 'node:util';
import { formatBinarySize, parseSize } from '../../src/config/sizes.js';
import { JOBS } from './jobs.js';
import type { Scale } from './run.js';

export interface BenchOptions {
  readonly scale: Scale;
  /** Undefined: the usual ones. */
  readonly only: readonly string[] | undefined;
  /** Undefined: all of them. */
  readonly jobs: readonly string[] | undefined;
  readonly json: string | undefined;
  /** A JSON file of an earlier run to show; nothing is measured. */
  readonly from: string | undefined;
  readonly judge: boolean;
  /** The figures of one table, in a bounded time. */
  readonly figures: boolean;
  /** As given; the folder of the backing files is made below it. */
  readonly folder: string | undefined;
}

/** `--figures`: what it stands for where nothing else is said. */
const FIGURES = {
  /** What depends on what is written. */
  jobs: ['seq-write-fresh', 'fsync', 'fsync-8', 'rand-write-60', 'rand-write-60-worst', 'seq-large'],
  others: ['pgbench', 'snapshot', 'sync', 'pss-before'],
  scale: { seconds: '5', size: '512M', large: '8', minutes: '22' },
  largeSeconds: 60,
};
const GIB = 2 ** 30;
const MIB = 2 ** 20;
const MIN_SIZE = 16 * MIB;

/** @throws Error or ThinError that names the option that is wrong. */
export function parseOptions(args: readonly string[], knownTargets: readonly string[]): BenchOptions {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { ...text, default: '3' },
      seconds: text,
      size: text,
      large: text,
      minutes: text,
      compressible: text,
      figures: { type: 'boolean', default: false },
      folder: text,
      only: text,
      jobs: text,
      json: text,
      from: text,
      judge: { type: 'boolean', default: false },
    },
  });
  const usual = values.figures
    ? FIGURES.scale
    : { seconds: '10', size: '1G', large: '8', minutes: undefined };
  const sizeText = values.size ?? usual.size;
  const largeText = values.large ?? usual.large;
  const minutes = values.minutes ?? usual.minutes;
  const size = parseSize(sizeText, '--size');
  if (size < MIN_SIZE || size % MIB !== 0)
    throw new Error(`--size ${sizeText}: whole MiB are needed, and at least ${formatBinarySize(MIN_SIZE)}`);
  const large = whole('--large', largeText, 0) * GIB;
  if (large !== 0 && large < size)
    throw new Error(`--large ${largeText}: at least --size is needed, or 0 to leave it out`);
  return {
    scale: {
      rounds: whole('--rounds', values.rounds, 1),
      seconds: whole('--seconds', values.seconds ?? usual.seconds, 1),
      size,
      large,
      ...(values.figures && { largeSeconds: FIGURES.largeSeconds }),
      ...(minutes !== undefined && { minutes: whole('--minutes', minutes, 1) }),
      ...(values.compressible !== undefined && {
        compressible: whole('--compressible', values.compressible, 1),
      }),
    },
    only: list('--only', values.only, knownTargets),
    jobs:
      list(
        '--jobs',
        values.jobs,
        JOBS.map(({ name }) => name),
      ) ?? (values.figures ? figureJobs(values.compressible !== undefined) : undefined),
    figures: values.figures,
    json: values.json,
    from: values.from,
    judge: values.judge || values.figures,
    folder: values.folder,
  };
}

function figureJobs(isCompressible: boolean): readonly string[] {
  return isCompressible ? FIGURES.jobs : [...FIGURES.jobs, ...FIGURES.others];
}

function whole(option: string, text: string, least: number): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < least)
    throw new Error(`${option} ${text}: a whole number of at least ${least} is needed`);
  return number;
}

function list(
  option: string,
  text: string | undefined,
  known: readonly string[],
): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const names = text.split(',');
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new Error(`${option}: there is no ${JSON.stringify(unknown)}; choose from ${known.join(', ')}`);
  return names;
}

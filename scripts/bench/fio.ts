import { run } from './host.js';
import type { FioJob, Job } from './jobs.js';
import type { Scale } from './run.js';

/** What no job comes near; fio on a device that does not answer would wait for ever. */
const PATIENCE_MS = 30 * 60_000;

export interface FioFigures {
  /** IOPS or MB/s, whichever the job counts. */
  readonly value: number;
  /** Milliseconds that the slowest write took. */
  readonly worst: number;
}

export async function runFio(device: string, job: FioJob, scale: Scale): Promise<FioFigures> {
  if (job.warm) await readThrough(device, scale.size);
  const output = await fio(device, scale.size, [...job.options(scale), ...contents(scale)]);
  return { value: parseFio(output, job.unit), worst: parseWorst(output) };
}

/** What fio writes. */
function contents({ compressible }: Pick<Scale, 'compressible'>): readonly string[] {
  if (compressible === undefined) return [];
  return [`--buffer_compress_percentage=${compressible}`, '--refill_buffers=1'];
}

/** Writes 1 MiB blocks from one offset of the device to another. @returns MB/s */
export async function writeRange(
  device: string,
  from: number,
  to: number,
  scale: Pick<Scale, 'compressible' | 'largeSeconds'> = {},
): Promise<number> {
  const options = [`--offset=${from}`, '--rw=write', '--bs=1M', '--iodepth=16', '--end_fsync=1'];
  if (scale.largeSeconds !== undefined) options.push(`--runtime=${scale.largeSeconds}`);
  return parseFio(await fio(device, to - from, [...options, ...contents(scale)]), 'MB/s');
}

async function readThrough(device: string, size: number): Promise<void> {
  await fio(device, size, ['--rw=read', '--bs=1M', '--iodepth=16']);
}

async function fio(device: string, size: number, options: readonly string[]): Promise<string> {
  const common = ['--name=bench', `--filename=${device}`, '--direct=1', '--ioengine=libaio'];
  return run('fio', [...common, `--size=${size}`, '--output-format=json', ...options], {
    timeoutMs: PATIENCE_MS,
  });
}

interface FioDirection {
  readonly iops: number;
  readonly bw_bytes: number;
  readonly lat_ns?: { readonly max: number };
}

interface FioReport {
  readonly jobs: readonly {
    readonly error: number;
    readonly read: FioDirection;
    readonly write: FioDirection;
  }[];
}

/**
 * The job's figure from fio's JSON; both directions count. `end_fsync` is in it: fio stops its clock after.
 * fio prints notes before the JSON.
 */
export function parseFio(output: string, unit: Job['unit']): number {
  const job = parseJob(output);
  return unit === 'IOPS'
    ? job.read.iops + job.write.iops
    : (job.read.bw_bytes + job.write.bw_bytes) / 1_000_000;
}

function parseWorst(output: string): number {
  return (parseJob(output).write.lat_ns?.max ?? 0) / 1_000_000;
}

function parseJob(output: string): FioReport['jobs'][number] {
  const start = output.indexOf('{');
  if (start < 0) throw new Error(`fio printed no JSON: ${output.slice(0, 200)}`);
  const job = (JSON.parse(output.slice(start)) as FioReport).jobs[0];
  if (job === undefined) throw new Error('fio reported no job');
  if (job.error !== 0) throw new Error(`fio met error ${job.error}`);
  return job;
}

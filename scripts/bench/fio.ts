import { run } from './host.js';
import type { FioJob } from './jobs.js';
import type { Scale } from './run.js';

/** What no job comes near; fio on a device that does not answer would wait for ever. */
const PATIENCE_MS = 30 * 60_000;

/** Resolves to IOPS or MB/s, whichever the job counts. */
export async function runFio(device: string, job: FioJob, scale: Scale): Promise<number> {
  if (job.warm) await readThrough(device, scale.size);
  return parseFio(await fio(device, scale.size, job.options(scale)), job.unit);
}

/** Writes 1 MiB blocks from one offset of the device to another. */
export async function writeRange(device: string, from: number, to: number): Promise<void> {
  await fio(device, to - from, [
    `--offset=${from}`,
    '--rw=write',
    '--bs=1M',
    '--iodepth=16',
    '--end_fsync=1',
  ]);
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
export function parseFio(output: string, unit: 'IOPS' | 'MB/s' | 'ms' | 'MiB'): number {
  const start = output.indexOf('{');
  if (start < 0) throw new Error(`fio printed no JSON: ${output.slice(0, 200)}`);
  const job = (JSON.parse(output.slice(start)) as FioReport).jobs[0];
  if (job === undefined) throw new Error('fio reported no job');
  if (job.error !== 0) throw new Error(`fio met error ${job.error}`);
  return unit === 'IOPS'
    ? job.read.iops + job.write.iops
    : (job.read.bw_bytes + job.write.bw_bytes) / 1_000_000;
}

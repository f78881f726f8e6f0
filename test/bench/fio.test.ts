import assert from 'node:assert/strict';
import { parseFio } from '../../scripts/bench/fio.js';
import { FILL, FIO_JOBS, JOBS, PGBENCH } from '../../scripts/bench/jobs.js';
import { LIFECYCLE_STEPS } from '../../scripts/bench/lifecycle.js';

const output = (error = 0): string =>
  JSON.stringify({
    jobs: [{ error, read: { iops: 700.5, bw_bytes: 3_000_000 }, write: { iops: 300, bw_bytes: 1_000_000 } }],
  });

describe('bench: fio', () => {
  it('counts both directions, in the unit of the job', () => {
    assert.equal(parseFio(output(), 'IOPS'), 1000.5);
    assert.equal(parseFio(output(), 'MB/s'), 4);
  });

  it('reads past the notes that fio prints first', () => {
    assert.equal(parseFio(`note: both iodepth >= 1 and synchronous I/O engine\n${output()}`, 'MB/s'), 4);
  });

  it('takes no figure from a job that failed', () => {
    assert.throws(() => parseFio(output(5), 'IOPS'), /error 5/);
    assert.throws(() => parseFio('', 'IOPS'), /no JSON/);
    assert.throws(() => parseFio('{"jobs":[]}', 'IOPS'), /no job/);
  });

  it('fills the device before anything else', () => {
    assert.equal(FIO_JOBS[0], FILL);
  });

  it('writes once a chunk onto a fresh snapshot', () => {
    const job = FIO_JOBS.find(({ on }) => on === 'snapshot')!;
    const options = job.options({ rounds: 1, seconds: 1, size: 2 ** 30, large: 0 });
    assert.ok(options.includes(`--io_size=${2 ** 30 / 16}`));
  });

  it('gives every job a name of its own, and something that measures it', () => {
    const names = JOBS.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    const measured = new Set([
      ...FIO_JOBS.flatMap(({ name, worst = name }) => [name, worst]),
      PGBENCH.name,
      ...LIFECYCLE_STEPS.flatMap(({ jobs }) => jobs),
      'rss-before',
      'pss-before',
    ]);
    assert.deepEqual(
      names.filter((name) => !measured.has(name)),
      [],
    );
  });
});

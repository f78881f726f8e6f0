import assert from 'node:assert/strict';
import { parseOptions } from '../../scripts/bench/options.js';

const parse = (...args: readonly string[]) => parseOptions(args, ['qsd', 'plain']);

describe('bench: options', () => {
  it('has defaults for all', () => {
    const options = parse();
    assert.deepEqual(options.scale, { rounds: 3, seconds: 10, size: 2 ** 30, large: 8 * 2 ** 30 });
    assert.equal(options.only, undefined);
    assert.equal(options.jobs, undefined);
    assert.equal(options.judge, false);
  });

  it('has a bounded set of figures', () => {
    const { scale, jobs, judge } = parse('--figures', '--seconds', '7', '--compressible', '60');
    const { seconds, size, large, minutes, compressible } = scale;
    assert.deepEqual([seconds, size, large], [7, 2 ** 29, 8 * 2 ** 30]);
    assert.deepEqual([minutes, compressible, judge], [22, 60, true]);
    assert.ok(jobs?.includes('fsync') === true && !jobs.includes('storm') && !jobs.includes('pgbench'));
    assert.ok(parse('--figures').jobs?.includes('pgbench'));
  });

  it('reads lists and sizes', () => {
    const options = parse('--only', 'plain,qsd', '--jobs', 'fsync,storm', '--size', '256M', '--large', '0');
    assert.deepEqual(options.only, ['plain', 'qsd']);
    assert.deepEqual(options.jobs, ['fsync', 'storm']);
    assert.equal(options.scale.size, 256 * 2 ** 20);
    assert.equal(options.scale.large, 0);
  });

  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['--rounds', '0'], /--rounds 0: a whole number of at least 1/],
    [['--seconds', '1.5'], /--seconds 1\.5/],
    [['--size', 'big'], /--size/],
    [['--size', '1M'], /--size 1M: whole MiB are needed, and at least 16M/],
    [['--size', '100000000'], /whole MiB/],
    [['--large', '1', '--size', '2G'], /--large 1: at least --size/],
    [['--only', 'qsd,nothing'], /--only: there is no "nothing"; choose from qsd, plain/],
    [['--jobs', 'nothing'], /--jobs: there is no "nothing"; choose from seq-write-fresh, /],
    [['--unknown'], /--unknown/],
  ];
  for (const [args, message] of wrong)
    it(`refuses ${args.join(' ')}`, () => {
      assert.throws(() => parse(...args), message);
    });
});

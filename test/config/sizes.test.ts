import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatBinarySize, formatSize, parseSize } from '../../src/config/sizes.js';

const KIB = 1024;
const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const TIB = 1024 ** 4;

describe('config: sizes', () => {
  const parsed: [string, number][] = [
    ['0', 0],
    ['32', 32],
    ['32b', 32],
    ['32B', 32],
    ['32k', 32 * KIB],
    ['64K', 65536],
    ['32kb', 32 * KIB],
    ['32Kib', 32 * KIB],
    ['32KIB', 32 * KIB],
    ['32Mb', 32 * MIB],
    ['10G', 10737418240],
    ['10GB', 10737418240],
    ['20GiB', 20 * GIB],
    ['1.5T', 1.5 * TIB],
    ['32Pb', 32 * 1024 ** 5 > Number.MAX_SAFE_INTEGER ? NaN : 32 * 1024 ** 5],
    ['32.3', 32],
    ['32.3 mb', Math.floor(32.3 * MIB)],
    ['0.3MB', Math.floor(0.3 * MIB)],
  ];
  for (const [text, bytes] of parsed.filter(([, expected]) => !Number.isNaN(expected)))
    it(`reads ${text} as ${bytes} bytes`, () => assert.equal(parseSize(text), bytes));

  for (const text of [
    '',
    'hello',
    '-32',
    ' 32 ',
    '32m b',
    '32bm',
    '1.2.3G',
    '1e3',
    '0x10',
    '10G\n',
    '.5G',
    '5,5G',
  ])
    it(`refuses ${JSON.stringify(text)}`, () =>
      assert.throws(
        () => parseSize(text, '--size'),
        (error: Error) =>
          'code' in error &&
          error.code === 'invalid-argument' &&
          error.message.includes(JSON.stringify(text)) &&
          error.message.startsWith('--size') &&
          error.message.includes('10G'),
      ));

  it('refuses what no number holds exactly', () => {
    assert.equal(parseSize('7P'), 7 * 1024 ** 5);
    assert.throws(() => parseSize('8P'), { code: 'invalid-argument' });
    assert.throws(() => parseSize('9'.repeat(400)), { code: 'invalid-argument' });
  });

  it('prints as docker info does', () => {
    const shown: [number, string][] = [
      [0, '0B'],
      [999, '999B'],
      [1000, '1kB'],
      [1024, '1.024kB'],
      [65536, '65.54kB'],
      [999_960, '1000kB'],
      [1_000_000, '1MB'],
      [MIB, '1.049MB'],
      [10 * GIB, '10.74GB'],
      [100 * GIB, '107.4GB'],
      [2 * GIB, '2.147GB'],
      [3.42e9, '3.42GB'],
      [5.372e12, '5.372TB'],
      [2.22e15, '2.22PB'],
      // Exact halves go to the even digit.
      [100_250, '100.2kB'],
      [100_750, '100.8kB'],
      [10_125, '10.12kB'],
      [1_062_500, '1.062MB'],
    ];
    for (const [bytes, text] of shown) assert.equal(formatSize(bytes), text);
  });

  it('prints as lsblk does', () => {
    const shown: [number, string][] = [
      [0, '0B'],
      [512, '512B'],
      [1023, '1023B'],
      [KIB, '1K'],
      [65536, '64K'],
      [10 * GIB, '10G'],
      [1.5 * TIB, '1.5T'],
      [1.04 * GIB, '1G'],
      [GIB + 54 * MIB, '1.1G'],
      [GIB - 1, '1024M'],
      [100 * GIB + 960 * MIB, '100.9G'],
      [100 * GIB + 1000 * MIB, '101G'],
    ];
    for (const [bytes, text] of shown) assert.equal(formatBinarySize(Math.floor(bytes)), text);
  });

  it('reads every whole number of units back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1023 }), fc.integer({ min: 0, max: 4 }), (count, exponent) => {
        const bytes = count * 1024 ** exponent;
        assert.equal(parseSize(formatBinarySize(bytes)), bytes);
        assert.equal(parseSize(String(bytes)), bytes);
      }),
    );
  });

  it('stays close to the size whatever its magnitude', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 7 * 1024 ** 5 }), (bytes) => {
        assert.ok(Math.abs(parseSize(formatBinarySize(bytes)) - bytes) <= bytes * 0.051);
        const [, digits, unit] =
          /^([\d.]+)([kMGTP]?)B$/.exec(formatSize(bytes)) ?? assert.fail(formatSize(bytes));
        const value = Number(digits) * 1000 ** ' kMGTP'.indexOf(unit === '' ? ' ' : unit!);
        assert.ok(Math.abs(value - bytes) <= bytes * 0.0005001);
        assert.ok(digits!.replace('.', '').length <= 4);
      }),
    );
  });
});

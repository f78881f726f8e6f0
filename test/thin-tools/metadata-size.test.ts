import assert from 'node:assert/strict';
import fc from 'fast-check';
import { useCliSession } from '../support/cli-session.js';
import { requireThinTools, thinTool } from '../support/thin-provisioning-tools.js';
import {
  formatAmount,
  metadataSize,
  parseQuantity,
  parseUnit,
  parseUnitSize,
} from '../../src/thin-tools/metadata-size.js';

describe('metadata size', function () {
  requireThinTools();
  const clis = useCliSession();

  it('comes to what thin_metadata_size says, in every unit', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 12, max: 24 }),
        fc.integer({ min: 1, max: 4000 }),
        fc.constantFrom('m', 'M', 'g', 'G', 't', 'gibi', 'terabytes'),
        fc.integer({ min: 1, max: 100_000 }),
        fc.constantFrom('b', 's', 'k', 'K', 'm', 'M', 'g', 'mebibytes'),
        async (power, amount, sizeUnit, thins, unit) => {
          const [block, pool] = [`${2 ** power}b`, `${amount}${sizeUnit}`];
          const blockSize = parseUnitSize(block, 'block');
          const poolSize = parseUnitSize(pool, 'pool');
          fc.pre(Math.floor(poolSize / 512) > blockSize / 512);
          const { code, stdout } = await thinTool(
            'thin_metadata_size',
            '-b',
            block,
            '-s',
            pool,
            '-m',
            String(thins),
            '-u',
            unit,
            '-n',
          );
          assert.equal(code, 0);
          const bytes = metadataSize(blockSize, poolSize, parseQuantity(String(thins), 'thins'));
          assert.equal(`${formatAmount(bytes, parseUnit(unit))}\n`, stdout);
        },
      ),
      { numRuns: 40 },
    ));

  it('takes the even hundredth of two that are as near', () => {
    for (const [bytes, text] of [
      [1152, '1.12'],
      [1408, '1.38'],
      [1664, '1.62'],
      [1920, '1.88'],
      [1024 * 4096 + 128, '4096.12'],
      [1000 * 1024, '1000'],
    ] as const)
      assert.equal(formatAmount(bytes, parseUnit('k')), text);
  });

  it('is told in its words', async () => {
    const cli = clis.on('/nowhere');
    for (const args of [
      ['-b', '64k', '-s', '10g', '-m', '100'],
      ['-b', '128', '-s', '1M', '-m', '1k', '-u', 'mebi'],
      ['-b', '64k', '-s', '1t', '-m', '1000', '-u', 'm', '-nshort'],
      ['-b', '64k', '-s', '1t', '-m', '1000', '-u', 'G', '-nlong'],
    ]) {
      const theirs = await thinTool('thin_metadata_size', ...args);
      assert.equal(
        await cli.run('metadata-size', ...args),
        theirs.stdout.replace(/^thin_metadata_size - /, ''),
      );
    }
  });

  it('is refused for what makes no sense', () => {
    for (const text of ['x', '', '-1', '1.5k', '64q', '64kk', 'k'])
      assert.throws(() => parseUnitSize(text, 'size'), { code: 'invalid-argument' });
    for (const [block, pool, thins] of [
      [65536, 65536, 1],
      [65535 * 512, 2 ** 40, 1],
      [0, 2 ** 40, 1],
      [65536, 2 ** 40, 0],
    ] as const)
      assert.throws(() => metadataSize(block, pool, thins), { code: 'invalid-argument' });
  });

  it('is not told of what makes no sense', async () => {
    const cli = clis.on('/nowhere');
    for (const [args, message] of [
      [['-b', '64k', '-s', '10g'], /max-thins/],
      [['-b', '63k', '-s', '10g', '-m', '1'], /power of two/],
      [['-b', '64k', '-s', '10g', '-m', '1', '-u', 'parsec'], /parsec/],
    ] as const) {
      const { code, stderr } = await cli.try('metadata-size', ...args);
      assert.equal(code, 2, args.join(' '));
      assert.match(stderr, message);
    }
  });
});

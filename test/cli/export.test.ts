import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cli } from '../support/cli.js';
import { useScratch } from '../support/mounts.js';

describe('command line: export', function () {
  this.timeout(120_000);
  const scratch = useScratch();
  let cli: Cli;

  before(async () => {
    cli = new Cli(scratch.current);
    await mkdir(scratch.current.at('taken'));
    await writeFile(path.join(scratch.current.at('taken'), 'file'), '');
    await writeFile(scratch.current.at('file'), '');
  });

  it('says what is wrong with what it was given, and what to do', async () => {
    const at = (name: string): string => scratch.current.at(name);
    const cases: readonly [readonly string[], number, RegExp][] = [
      [[], 2, /name the device/],
      [['web', '--format', 'vmdk'], 2, /tar, raw, qcow2, dm-thin/],
      [['web', '--format', 'raw'], 2, /--output/],
      [['web', '--format', 'dm-thin', '-o', at('new')], 2, /whole pool/],
      [['--format', 'dm-thin'], 2, /--output, a folder/],
      [['--format', 'dm-thin', '-o', at('taken')], 4, /not empty/],
      [['--format', 'dm-thin', '-o', at('file')], 4, /is not a folder/],
      [['--format', 'dm-thin', '-o', at('new')], 3, /thinfuse init/],
      [['web', '--format', 'raw', '-o', at('new')], 3, /thinfuse init/],
      [['web', '--format', 'raw', '-o', at('new'), '--frobnicate'], 2, /--frobnicate/],
    ];
    const outcomes = await Promise.all(cases.map(([args]) => cli.try('export', ...args)));
    for (const [index, [args, expected, message]] of cases.entries()) {
      const { code, stdout, stderr } = outcomes[index]!;
      assert.equal(code, expected, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, message, args.join(' '));
      assert.equal(stdout, '');
    }
  });

  it('has help with examples', async () => {
    const { code, stdout } = await cli.try('export', '--help');
    assert.equal(code, 0);
    assert.match(stdout, /--format <format>/);
    assert.match(stdout, /Example:\n {2}\$ thinfuse export/);
  });
});

import assert from 'node:assert/strict';
import { buildProgram } from '../../src/cli/program.js';
import type { Command } from 'commander';
import { Cli } from '../support/cli.js';
import { useScratch } from '../support/mounts.js';

describe('command line: help and usage', function () {
  const scratch = useScratch();
  let cli: Cli;

  before(() => {
    cli = new Cli(scratch.current);
  });

  it('has an example and the global options in the help of every command', async () => {
    const names: string[] = [];
    const visit = (command: Command): void => {
      names.push(command.name());
      const text: string[] = [];
      command.configureOutput({ writeOut: (piece) => text.push(piece) });
      if (command.commands.length === 0) {
        command.outputHelp();
        assert.match(text.join(''), /Example:\n {2}\$ .*thinfuse/, command.name());
        assert.match(text.join(''), /--root <folder>/, command.name());
        assert.match(text.join(''), /--json/, command.name());
      }
      command.commands.forEach(visit);
    };
    visit(await buildProgram());
    for (const name of (
      'init start stop status info image container create ls rm commit snapshot rename grow activate deactivate ' +
      'mount umount trim tree lsblk df diff export check'
    ).split(' '))
      assert(names.includes(name), `${name} is missing`);
  });

  it('prints help and version with exit code 0', async () => {
    for (const args of [['--help'], ['mount', '--help'], ['image', 'create', '--help'], ['--version']]) {
      const { code, stdout, stderr } = await cli.try(...args);
      assert.deepEqual([code, stderr], [0, ''], args.join(' '));
      assert.notEqual(stdout, '');
    }
  });

  it('exits with 2 for what it does not understand', async () => {
    const wrong = [
      [],
      ['frobnicate'],
      ['ls', '--frobnicate'],
      ['snapshot', 'only-one'],
      ['container', 'create', 'no-image'],
      ['image'],
      ['df', 'too', 'many'],
      ['grow', 'a', 'huge'],
      ['snapshot', 'a/b', 'base'],
      ['init', '--block-size', '100K'],
      ['init', '--base-size', '10M'],
      ['init', '--fs', 'btrfs'],
      ['init', '--opt', 'dm.frobnicate=1'],
      ['init', '--opt', 'nonsense'],
      ['start', '--supervised', '--transport', 'fuse-native'],
      ['restart', 'now'],
    ];
    const outcomes = await Promise.all(wrong.map((args) => cli.try(...args)));
    outcomes.forEach(({ code, stdout, stderr }, index) => {
      const asked = (wrong[index] ?? []).join(' ');
      if (asked.startsWith('snapshot a/b')) return assert.equal(code, 3, 'no pool comes first');
      assert.equal(code, 2, `${asked}: ${stderr}`);
      assert.equal(stdout, '', asked);
      assert.notEqual(stderr, '', asked);
    });
  });

  it('has help of what is below a command, and none of what there is not', async () => {
    assert.equal(
      await cli.run('help', 'image', 'create'),
      await cli.run('image', 'create', '--help'),
      'both ways are one',
    );
    assert.equal(await cli.run('help', 'snap'), await cli.run('snapshot', '--help'));
    assert.equal(await cli.run('help'), await cli.run('--help'));
    for (const args of [
      ['help', 'snapp'],
      ['snapp', '--help'],
      ['help', 'image', 'snapp'],
      ['image', 'snapp'],
    ]) {
      const { code, stdout, stderr } = await cli.try(...args);
      assert.deepEqual([code, stdout], [2, ''], args.join(' '));
      assert.match(stderr, /^thinfuse: unknown command 'snapp'/);
    }
  });

  it('says what may have been meant, and whose help to read', async () => {
    for (const [said, args] of [
      [/'snapp'; did you mean snap.*\n\(thinfuse --help/, ['snapp']],
      [/'crate'; did you mean create\?\n\(thinfuse image --help/, ['image', 'crate']],
      [/missing required argument 'new'\n\(thinfuse snapshot --help/, ['snap']],
      [
        /'rwa' is invalid.* lvm; did you mean raw\?\n\(thinfuse export --help/,
        ['export', 'a', '--format', 'rwa'],
      ],
    ] as const)
      assert.match((await cli.try(...args)).stderr, said);
    const { stderr } = await cli.try('--json', 'export', 'a', '--format', 'rwa');
    assert.equal(
      (JSON.parse(stderr) as { error: { details: { suggestion: string } } }).error.details.suggestion,
      'raw',
    );
  });

  it('tells errors as JSON where JSON was asked for, before or behind the command', async () => {
    for (const args of [
      ['--json', 'ls', '--frobnicate'],
      ['ls', '--frobnicate', '--json'],
      ['ls', '--json'],
      ['--json', 'frobnicate'],
    ]) {
      const { code, stdout, stderr } = await cli.try(...args);
      const { error } = JSON.parse(stderr) as { error: { code: string; message: string } };
      assert.equal(stdout, '');
      assert.deepEqual(
        [code, error.code],
        args[0] === 'ls' && args.length === 2 ? [3, 'no-pool'] : [2, 'invalid-argument'],
      );
      assert.notEqual(error.message, '');
    }
  });

  it('takes the root from the environment, and from --root before that', async () => {
    assert.match((await cli.try('ls')).stderr, new RegExp(`in ${cli.root};`));
    assert.match((await cli.try('ls', '--root', '/nowhere')).stderr, /in \/nowhere;/);
    assert.match((await cli.try('--root=/nowhere', 'ls')).stderr, /in \/nowhere;/);
  });
});

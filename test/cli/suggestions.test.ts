import assert from 'node:assert/strict';
import { CommanderError } from 'commander';
import { commandsLike, modulesFor, COMMAND_MODULES, OTHER_WORDS } from '../../src/cli/command-table.js';
import { buildProgram } from '../../src/cli/program.js';
import { usageError } from '../../src/cli/usage-error.js';
import { withRoot } from '../../src/cli/root-hints.js';
import { nearest } from '../../src/config/nearest.js';
import { ThinError } from '../../src/errors/thin-error.js';

describe('command line: suggestions and hints', () => {
  it('suggests what begins with the word, then what is near it, and no guess that changes most of it', () => {
    assert.deepEqual(nearest('snap', ['swap', 'snapshot', 'snapped']), ['snapshot', 'snapped', 'swap']);
    assert.deepEqual(nearest('dbb', ['db', 'web', 'ci-1']), ['db', 'web'].slice(0, 1));
    assert.deepEqual(nearest('frobnicate', ['db', 'ls']), []);
    assert.deepEqual(nearest('', ['db']), []);
    assert.deepEqual(nearest('lsit', ['list', 'limit', 'ls']), ['list']);
    assert.deepEqual(nearest('snpa', ['snap', 'ls']), ['snap']);
    assert.deepEqual(nearest('minfree', ['min_free_space', 'cache_size']), ['min_free_space']);
    assert.deepEqual(nearest('space', ['min_free_space', 'web-1']), ['min_free_space']);
    assert.deepEqual(nearest('ba', ['web-ba']), []);
  });

  it('has every command and alias in the table of modules, or they would load all of them', async () => {
    const known = new Set(COMMAND_MODULES.flatMap(({ commands }) => Object.keys(commands)));
    for (const command of (await buildProgram()).commands)
      for (const word of [command.name(), ...command.aliases()]) assert.ok(known.has(word), word);
  });

  it('knows the words of other programs', () => {
    assert.equal(commandsLike('resize')[0], 'grow');
    assert.equal(commandsLike('copy')[0], 'clone');
    assert.equal(commandsLike('snapsho')[0], 'snapshot');
    assert.deepEqual(commandsLike('create').slice(0, 2), ['snapshot', 'device create']);
    assert.deepEqual(commandsLike('lvextend').slice(0, 2), ['grow', 'extend']);
    assert.deepEqual(commandsLike('constructor'), []);
  });

  it('suggests only commands that are there', async () => {
    const program = await buildProgram();
    const paths = new Set(
      program.commands.flatMap((command) => [
        command.name(),
        ...command.commands.map((each) => `${command.name()} ${each.name()}`),
      ]),
    );
    for (const command of Object.values(OTHER_WORDS).flat())
      assert.ok(paths.has(command) || command === '--version', command);
  });

  it('tells what a command without arguments is for, where it was given one', async () => {
    const program = await buildProgram();
    for (const command of ['info', 'destroy', 'init', 'status']) {
      const { message } = usageError(
        new CommanderError(
          2,
          'commander.excessArguments',
          `error: too many arguments for '${command}'. Expected 0 arguments but got 1.`,
        ),
      );
      assert.match(message, /^too many arguments for '\w+'. Expected 0 arguments but got 1; \w/);
      assert.deepEqual(program.commands.find((each) => each.name() === command)?.registeredArguments, []);
    }
  });

  it('loads the module of the command that is named, behind the options, and all where none is', () => {
    const load = (...words: string[]) => modulesFor(['node', 'thinfuse', ...words]);
    for (const words of [['ls'], ['--root', 'mount', 'ls'], ['--json', '--root=/x', 'list']])
      assert.deepEqual(
        load(...words).map(({ commands }) => Object.hasOwn(commands, 'ls')),
        [true],
      );
    assert.equal(load('frobnicate'), COMMAND_MODULES);
    assert.equal(load('manual'), COMMAND_MODULES);
    assert.deepEqual(load('--version'), []);
  });

  it('gives the root that was given in every command that a message recommends', () => {
    const hinted = (message: string, ...words: string[]) =>
      withRoot(new ThinError('busy', message), ['node', 'thinfuse', ...words]).message;
    const said =
      'a is mounted; unmount it with: thinfuse umount a (or see thinfuse ls); make one with: thinfuse init --root /x';
    assert.equal(hinted(said, 'rm', 'a'), said);
    assert.equal(
      hinted(said, '--root', "/my pool's", 'rm', 'a'),
      "a is mounted; unmount it with: thinfuse --root '/my pool'\\''s' umount a (or see thinfuse --root '/my pool'\\''s' ls); make one with: thinfuse init --root /x",
    );
    for (const prose of ['the thinfuse pool is full', 'this thinfuse reads up to 1'])
      assert.equal(hinted(prose, '--root=/x', 'ls'), prose);
  });
});

import assert from 'node:assert/strict';
import { Command } from 'commander';
import { buildProgram } from '../../src/cli/program.js';
import { example } from '../../src/commands/example.js';
import { commandTree, leaves } from '../../src/manual/command-tree.js';
import { manPage } from '../../src/manual/man-page.js';
import { tryRun } from '../support/mounts.js';

const TEXT = {
  name: 'thinfuse',
  version: '1.2.3',
  date: 'November 25, 2026',
  exitCodes: [[0, 'Done.']],
  files: [['/var/lib/thinfuse', 'The pool.']],
} as const;

/** As roff has them, so that they can be copied from the page. */
function dashes(text: string): string {
  return text.replaceAll('-', '\\-');
}

describe('man page', function () {
  it('has every command with its options and an example', async () => {
    const tree = commandTree(await buildProgram());
    const page = manPage(tree, TEXT);
    for (const { path, options, examples } of leaves(tree)) {
      assert(page.includes(`\n.Ss ${dashes(path.join(' '))}\n`), path.join(' '));
      assert(examples.length > 0, path.join(' '));
      for (const { flags } of options)
        for (const flag of flags) assert(page.includes(`Fl ${dashes(flag.slice(1))}`), flag);
    }
    assert(!page.includes('temporary'), 'hidden options stay hidden');
  });

  it('is mdoc that mandoc has no warning for', async () => {
    const page = manPage(commandTree(await buildProgram()), TEXT);
    const { stdout, code } = await tryRun('mandoc', ['-T', 'lint', '-W', 'warning'], { input: page });
    assert.equal(stdout, '');
    assert.equal(code, 0);
  });

  it('names the system that it is of, at its head and at its foot', async () => {
    const input = manPage(commandTree(await buildProgram()), TEXT);
    const shown = await tryRun('mandoc', ['-T', 'utf8'], { input });
    assert.doesNotMatch(shown.stdout, /BSD/);
    assert.match(shown.stdout.trimEnd().split('\n').at(-1)!, /^Linux .* Linux$/);
    // groff reads it after .Dd, which loads its macros, and before .Dt, which takes it.
    assert.match(input, /^\.Dd .*\n\.ds doc-volume-operating-system Linux\n\.Dt /m);
  });

  it('keeps what roff would take for its own', () => {
    const program = new Command('thinfuse').description('Does.');
    program
      .command('go')
      .description(".dots at the start, a back\\slash and 'quotes'")
      .requiredOption('--at <Dt>', 'where')
      .argument('<id...>')
      .addHelpText('after', example('thinfuse go --at here'));
    const page = manPage(commandTree(program), TEXT);
    assert.match(page, /^\\&\.dots at the start, a back\\eslash and 'quotes'$/m);
    assert.match(page, /^\.Fl \\-at Ar \\&Dt$/m);
    assert.match(page, /^\.Ar id \.\.\.$/m);
    assert.match(page, /^# thinfuse go \\-\\-at here$/m);
  });
});

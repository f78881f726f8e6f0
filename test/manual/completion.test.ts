import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { buildProgram } from '../../src/cli/program.js';
import { bashCompletion } from '../../src/manual/bash-completion.js';
import { commandTree, leaves } from '../../src/manual/command-tree.js';
import { fishCompletion } from '../../src/manual/fish-completion.js';
import { zshCompletion } from '../../src/manual/zsh-completion.js';
import { run, useScratch } from '../support/mounts.js';

const tree = commandTree(await buildProgram());

describe('completion', function () {
  const scratch = useScratch();
  let script: string;
  let root: string;

  before(async () => {
    script = scratch.current.at('thinfuse.bash');
    root = scratch.current.at('root');
    await writeFile(script, bashCompletion(tree, 'thinfuse'));
    await mkdir(path.join(root, 'metadata'), { recursive: true });
    for (const name of ['base', 'web1', 'web2', 'db', 'deviceset-metadata'])
      await writeFile(path.join(root, 'metadata', name), '{}');
  });

  /** What bash offers for the last of the words. */
  const offered = (...words: readonly string[]): Promise<readonly string[]> => offeredWith({}, ...words);

  async function offeredWith(
    env: NodeJS.ProcessEnv,
    ...words: readonly string[]
  ): Promise<readonly string[]> {
    const program = `compopt() { :; }; . "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _thinfuse; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const output = await run('bash', ['-c', program, 'bash', script, 'thinfuse', ...words], {
      env: { ...process.env, THINFUSE_ROOT: root, ...env },
    });
    return output.split('\n').filter((line) => line !== '');
  }

  it('offers commands, and those below them', async () => {
    assert.deepEqual(await offered('i'), ['init', 'image', 'info', 'iostat', 'import']);
    assert.deepEqual(await offered('--json', 'image', ''), ['create', 'ls', 'rm']);
  });

  it('offers the options of the command and the global ones', async () => {
    const options = await offered('container', 'create', '--');
    for (const flag of ['--image', '--size', '--root', '--json', '--help'])
      assert(options.includes(flag), flag);
    assert(!options.includes('--foreground'));
    assert(!(await offered('start', '--')).includes('--notify'), 'it is hidden');
  });

  it('offers device names where devices are asked for', async () => {
    assert.deepEqual(await offered('rm', 'w'), ['web1', 'web2']);
    assert.deepEqual(await offered('rm', 'web1', 'd'), ['db']);
    assert.deepEqual(await offered('container', 'create', 'new', '--image', ''), [
      'base',
      'db',
      'web1',
      'web2',
    ]);
    assert.deepEqual(await offered('--root', '/nowhere', 'rm', ''), []);
  });

  it('offers names of the kind that fits, as the program tells them', async () => {
    const bin = await scratch.current.folder('bin');
    const asked = scratch.current.at('asked');
    await writeFile(
      path.join(bin, 'thinfuse'),
      `#!/bin/sh\necho "$*" >>${asked}\ncase $* in *kind=image) echo debian;; *) echo web1;; esac\n`,
      { mode: 0o755 },
    );
    const inPath = { PATH: `${bin}:${process.env['PATH'] ?? ''}` };
    assert.deepEqual(await offeredWith(inPath, 'container', 'create', 'new', '--image', ''), ['debian']);
    assert.deepEqual(await offeredWith(inPath, 'image', 'rm', ''), ['debian']);
    assert.deepEqual(await offeredWith(inPath, 'container', 'rm', ''), ['web1']);
    assert.deepEqual(await offeredWith(inPath, 'mount', 'd'), ['db'], 'where any fits, nobody is asked');
    const lines = (await readFile(asked, 'utf8')).trim().split('\n');
    assert.deepEqual(lines[0], `--root ${root} ls -q --filter kind=image`);
    assert.equal(lines.length, 3);
  });

  it('offers choices and paths as values', async () => {
    assert.deepEqual(await offered('start', '--transport', ''), ['fuse-native', 'kernel']);
    assert.deepEqual(await offered('export', 'db', '--output', script.slice(0, -2)), [script]);
    assert.deepEqual(await offered('mount', 'db', root.slice(0, -1)), [root]);
    assert.deepEqual(await offered('grow', 'db', ''), []);
  });

  it('knows other words for a command, and goes on with a list behind its comma', async () => {
    assert.deepEqual(await offered('snap', 'new', 'w'), ['web1', 'web2']);
    assert.deepEqual(await offered('unmount', 'd'), ['db']);
    assert.deepEqual(await offered('rollback', 'web1', 'w'), ['web1', 'web2']);
    assert.deepEqual(await offered('sn'), ['snapshot'], 'and offers none of them');
    assert.deepEqual(await offered('start', '--log-level', 'warn,de'), ['warn,debug']);
  });

  it('offers in fish what it offers in bash', async () => {
    const file = scratch.current.at('offer.fish');
    await writeFile(file, fishCompletion(tree, 'thinfuse'));
    const inFish = async (line: string): Promise<readonly string[]> => {
      const asked = `source ${file}; complete -C '${line}'`;
      const text = await run('fish', ['--no-config', '-c', asked], {
        env: { ...process.env, THINFUSE_ROOT: root, HOME: root },
      });
      return text
        .trim()
        .split('\n')
        .map((each) => each.split('\t')[0]!);
    };
    for (const [line, wanted] of [
      ['thinfuse i', ['image', 'import', 'info', 'init', 'iostat']],
      ['thinfuse --json image ', ['create', 'ls', 'rm']],
      ['thinfuse rm w', ['web1', 'web2']],
      ['thinfuse snap new d', ['db']],
      ['thinfuse --root /nowhere rm ', ['']],
      ['thinfuse start --transport ', ['fuse-native', 'kernel']],
      ['thinfuse ls --fi', ['--filter']],
      ['thinfuse ls --ro', ['--root']],
    ] as const)
      assert.deepEqual(await inFish(line), wanted, line);
  });

  it('knows every command and the values of options in fish', async () => {
    const text = fishCompletion(
      commandTree(await buildProgram(), { '--fs': ['xfs', 'ext4'], key: ['min_free_space'] }),
      'thinfuse',
    );
    for (const { path: words } of leaves(tree))
      assert(text.includes(` -a '${words.at(-1)!}' -d `), words.join(' '));
    assert.match(text, /__thinfuse_in init' -l fs -x -a 'xfs ext4' /);
    assert.match(text, /__thinfuse_in get' -a 'min_free_space'$/m);
    assert.match(text, /__thinfuse_in mount' -a '\(__thinfuse_devices\) \(__fish_complete_directories\)'$/m);
    assert.match(text, /__thinfuse_in image rm' -a '\(__thinfuse_of_kind image\)'$/m);
    const file = scratch.current.at('thinfuse.fish');
    await writeFile(file, text);
    await run('fish', ['--no-execute', file]);
  });

  it('knows every command in zsh, whose syntax zsh takes', async () => {
    const text = zshCompletion(tree, 'thinfuse');
    for (const { path: words } of leaves(tree))
      assert(text.includes(`_${['thinfuse', ...words].join('_').replaceAll('-', '_')}() {`), words.join(' '));
    const file = scratch.current.at('_thinfuse');
    await writeFile(file, text);
    await run('zsh', ['-n', file]);
  });
});

import assert from 'node:assert/strict';
import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { TreeChanges } from '../../../src/containerd/diff/tree-changes.js';
import { ChildProcessExec } from '../../../src/host/exec.js';
import { FileTree } from '../../../src/host/file-tree.js';
import { run, useScratch } from '../../support/mounts.js';

const exec = new ChildProcessExec();

describe('changes of a tree', () => {
  const scratch = useScratch();
  let before: string;
  let after: string;

  beforeEach('a tree and its copy', async () => {
    before = scratch.current.at('before');
    after = scratch.current.at('after');
    for (const folder of [before, after]) await rm(folder, { recursive: true, force: true });
    await mkdir(path.join(before, 'a/b'), { recursive: true });
    await writeFile(path.join(before, 'a/b/file'), 'file');
    await writeFile(path.join(before, 'a/one'), 'one');
    await writeFile(path.join(before, 'a.dot'), 'dot');
    await symlink('one', path.join(before, 'a/link'));
    await run('sh', ['-c', `touch -h -d @1700000000 "$1"/* "$1"/*/* "$1"/*/*/*`, 'sh', before]);
    await run('cp', ['-a', before, after]);
  });

  const compare = (from: string | null = before): string[] => {
    const tree = from === null ? undefined : new FileTree(exec, from);
    const changes = new TreeChanges(tree, new FileTree(exec, after), () => true);
    return [...changes.all()]
      .filter((change) => change.kind !== 'undecided' || changes.contentsDiffer(change))
      .map(({ kind, path: name }) => `${kind} ${name}`);
  };

  it('are none of a copy', () => assert.deepEqual(compare(), []));

  it('come in the order of a walk, and of what was deleted as a whole only its top', async () => {
    await chmod(path.join(after, 'a.dot'), 0o600);
    await rename(path.join(after, 'a/b'), path.join(after, 'a/c'));
    await rm(path.join(after, 'a/one'));
    await mkdir(path.join(after, 'a/one'));
    await writeFile(path.join(after, 'a/one/in'), '');
    assert.deepEqual(compare(), [
      ...['deleted /a/b', 'added /a/c', 'added /a/c/file'],
      ...['changed /a/one', 'added /a/one/in', 'changed /a.dot'],
    ]);
  });

  it('are those of contents where neither size nor time tells, if times have no fraction', async () => {
    await writeFile(path.join(after, 'a/one'), 'two');
    await rm(path.join(after, 'a/link'));
    await symlink('two', path.join(after, 'a/link'));
    await run('touch', ['-h', '-d', '@1700000000', path.join(after, 'a/one'), path.join(after, 'a/link')]);
    assert.deepEqual(compare(), ['undecided /a/link', 'undecided /a/one']);
    for (const folder of [before, after])
      await run('touch', ['-d', '@1700000000.5', path.join(folder, 'a/one')]);
    assert.deepEqual(compare(), ['undecided /a/link']);
  });

  it('are all files of a tree that there was not', () => {
    assert.deepEqual(compare(null), [
      ...['added /a', 'added /a/b', 'added /a/b/file', 'added /a/link', 'added /a/one', 'added /a.dot'],
    ]);
  });

  it('are looked for in an unchanged folder where inodes may differ, and not elsewhere', async () => {
    const asked: bigint[] = [];
    const tree = new FileTree(exec, before);
    const same = new TreeChanges(tree, tree, (inode) => asked.push(inode) < 0);
    assert.deepEqual([...same.all()], []);
    assert.equal(asked.length, 6);
  });
});

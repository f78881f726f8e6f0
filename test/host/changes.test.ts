import assert from 'node:assert/strict';
import {
  appendFile,
  chmod,
  link,
  lutimes,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { AttributeParser } from '../../src/host/attributes.js';
import { changes } from '../../src/host/changes.js';
import { ChildProcessExec } from '../../src/host/exec.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { LONG_PATH, RAW_NAME, UTF8_NAME, makeRichTree } from './rich-tree.js';

const exec = new ChildProcessExec();

async function told(before: string, after: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { kind, rawPath } of changes(exec, before, after))
    found.push(`${kind} ${Buffer.from(rawPath).toString('latin1')}`);
  return found;
}

describe('AttributeParser', () => {
  it('takes a dump in pieces, unquotes paths, sorts attributes and leaves out what xfs mirrors', () => {
    const text =
      '# file: .\nuser.b=0x01\nuser.a=0x\n\n# file: d/a\\012b\\134c\ntrusted.SGI_ACL_FILE=0x00\nuser.a=0x02\n\n# file: e\ntrusted.SGI_ACL_DEFAULT=0x00\n\n';
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        const parser = new AttributeParser();
        let last = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), text.length]) {
          parser.add(text.slice(last, cut));
          last = cut;
        }
        assert.deepEqual(
          [...parser.end()],
          [
            ['', 'user.a=0x\nuser.b=0x01'],
            ['/d/a\nb\\c', 'user.a=0x02'],
          ],
        );
      }),
    );
  });
});

describe('changes', function () {
  this.timeout(300_000);
  requireMounts(['cp', 'getfattr', 'setfattr', 'setcap', 'setfacl']);
  const scratch = useScratch();

  async function pair(make: (root: string) => Promise<unknown>): Promise<{ before: string; after: string }> {
    const folder = await scratch.current.folder('pair');
    const before = path.join(folder, 'before');
    const after = path.join(folder, 'after');
    await mkdir(before);
    await make(before);
    await run('cp', ['-a', '--sparse=always', before, after]);
    return { before, after };
  }

  const shell = (script: string) => (root: string) => run('sh', ['-ec', script], { cwd: root });

  it('finds none between equal trees, whatever is in them', async () => {
    const { before, after } = await pair(makeRichTree);
    assert.deepEqual(await told(before, after), []);
  });

  it('finds each kind of change in a tree with everything in it', async () => {
    const { before, after } = await pair(makeRichTree);
    const at = (name: string): string => path.join(after, name);
    await run('setfattr', ['-n', 'user.binary', '-v', '0x00', at('attributed')]);
    await run('setcap', ['-r', at('bin')]);
    await rm(at('dev/disk'));
    await run('mknod', [at('dev/disk'), 'b', '259', '70001']);
    await run('touch', ['-h', '-d', '@1', at('fifo')]);
    const sparse = await open(at('sparse'), 'r+');
    await sparse.write('x', 0);
    await sparse.close();
    await appendFile(at(UTF8_NAME), 'more');
    await rm(Buffer.concat([Buffer.from(`${after}/`), RAW_NAME]));
    await writeFile(at(`${LONG_PATH}/new`), '');
    await rm(at('dangling'));
    await symlink('nowhere/at/ALL', at('dangling'));
    await run('chown', ['-h', '12345:54321', at('dangling')]);
    await lutimes(at('dangling'), 1_111_111_111, 1_111_111_111);
    await link(at('empty'), at('etc/another-name'));
    const long = LONG_PATH.split('/');
    assert.deepEqual(await told(before, after), [
      ...long.map((_, i) => `C /${long.slice(0, i + 1).join('/')}`),
      `A /${LONG_PATH}/new`,
      'C /attributed',
      'C /bin',
      'C /dangling',
      'C /dev',
      'C /dev/disk',
      'C /etc',
      'A /etc/another-name',
      'C /etc/hard-link',
      'C /fifo',
      `C /${Buffer.from(UTF8_NAME).toString('latin1')}`,
      `D /${RAW_NAME.toString('latin1')}`,
      'C /sparse',
    ]);
  });

  it('tells added trees whole and deleted ones by their top', async () => {
    const { before, after } = await pair(shell('mkdir -p gone/a/b same/x; echo > gone/a/f; echo > same/x/f'));
    await shell('rm -r gone; mkdir -p new/a/b; echo > new/a/f')(after);
    assert.deepEqual(await told(before, after), [
      'D /gone',
      'A /new',
      'A /new/a',
      'A /new/a/b',
      'A /new/a/f',
    ]);
  });

  it('tells a folder changed when something in it is, and not for its own time', async () => {
    const { before, after } = await pair(shell('mkdir -p a/b/c a/d; echo 1 > a/b/c/f; echo 1 > a/d/f'));
    await utimes(path.join(after, 'a/d'), 1, 1);
    await writeFile(path.join(after, 'a/b/c/f'), 'changed');
    assert.deepEqual(await told(before, after), ['C /a', 'C /a/b', 'C /a/b/c', 'C /a/b/c/f']);
  });

  it('tells a changed type once, with what is below the new folder', async () => {
    const { before, after } = await pair(shell('mkdir -p folder/in; echo > file'));
    await shell('rm -r folder; echo > folder; rm file; mkdir file; echo > file/in')(after);
    assert.deepEqual(await told(before, after), ['C /file', 'A /file/in', 'C /folder']);
  });

  it('tells a changed mode, owner, time and size, also of folders where it counts', async () => {
    const { before, after } = await pair(
      shell('mkdir d e; for f in mode owner time ns size same; do echo x > $f; done'),
    );
    const at = (name: string): string => path.join(after, name);
    await chmod(at('d'), 0o711);
    await run('chown', ['7:8', at('e'), at('owner')]);
    await chmod(at('mode'), 0o600);
    await utimes(at('time'), 1, 1);
    const { mtimeNs } = await stat(at('ns'), { bigint: true });
    await run('touch', [
      '-d',
      `@${mtimeNs / 1_000_000_000n}.${String((mtimeNs % 1_000_000_000n) ^ 1n).padStart(9, '0')}`,
      at('ns'),
    ]);
    const times = await stat(at('size'));
    await writeFile(at('size'), 'longer');
    await utimes(at('size'), times.atime, times.mtime);
    assert.deepEqual(await told(before, after), [
      'C /d',
      'C /e',
      'C /mode',
      'C /ns',
      'C /owner',
      'C /size',
      'C /time',
    ]);
  });

  it('tells a rename as one gone and one added', async () => {
    const { before, after } = await pair(shell('mkdir d; echo > d/f; echo > other'));
    await rename(path.join(after, 'other'), path.join(after, 'd/moved'));
    assert.deepEqual(await told(before, after), ['C /d', 'A /d/moved', 'D /other']);
  });

  it('looks into no other filesystem that is mounted inside', async () => {
    const { before, after } = await pair(shell('mkdir -p d/inner; echo > d/f'));
    await run('mount', ['-t', 'tmpfs', '-o', 'mode=0755', 'none', path.join(after, 'd/inner')]);
    await writeFile(path.join(after, 'd/inner/f'), 'x');
    assert.deepEqual(await told(before, after), []);
    await run('umount', [path.join(after, 'd/inner')]);
  });

  it('names what is missing', async () => {
    const { before } = await pair(() => Promise.resolve());
    await assert.rejects(
      told(before, scratch.current.at('nowhere')),
      (error: unknown) =>
        error instanceof ThinError && error.code === 'not-found' && error.message.includes('nowhere'),
    );
  });

  it('agrees with a simple model of random changes', async () => {
    const names = ['a', 'b', 'c', 'a/x', 'a/y', 'b/x', 'b/x/z'];
    const state = fc.dictionary(fc.constantFrom(...names), fc.constantFrom('1', '22', '333'));
    await fc.assert(
      fc.asyncProperty(state, state, async (old, now) => {
        const folder = await scratch.current.folder('model');
        const sides = [path.join(folder, 'old'), path.join(folder, 'now')];
        for (const [i, files] of [old, now].entries()) {
          await mkdir(sides[i] ?? '');
          for (const [name, content] of Object.entries(files)) {
            // Names double as folders of others, so files have a suffix.
            const file = path.join(sides[i] ?? '', `${name}.f`);
            await mkdir(path.dirname(file), { recursive: true });
            await writeFile(file, content);
            await utimes(file, 1, 1);
          }
        }
        const paths = (files: Record<string, string>): Map<string, string> => {
          const all = new Map<string, string>();
          for (const [name, content] of Object.entries(files)) {
            all.set(`/${name}.f`, content);
            for (let up = path.dirname(name); up !== '.'; up = path.dirname(up)) all.set(`/${up}`, 'folder');
          }
          return all;
        };
        const [a, b] = [paths(old), paths(now)];
        const expected = new Set<string>();
        const touched = (name: string): void => {
          for (let up = path.dirname(name); up !== '/'; up = path.dirname(up))
            if (a.has(up) && b.has(up)) expected.add(`C ${up}`);
        };
        for (const [name, content] of b) {
          if (a.get(name) === content) continue;
          expected.add(`${a.has(name) ? 'C' : 'A'} ${name}`);
          touched(name);
        }
        for (const name of a.keys())
          if (!b.has(name) && (path.dirname(name) === '/' || b.has(path.dirname(name)))) {
            expected.add(`D ${name}`);
            touched(name);
          }
        assert.deepEqual((await told(sides[0] ?? '', sides[1] ?? '')).sort(), [...expected].sort());
        await rm(folder, { recursive: true });
      }),
      { numRuns: 60 },
    );
  });

  it('reads no contents', async () => {
    const { before, after } = await pair(shell('echo same-length-1 > f'));
    const times = await stat(path.join(after, 'f'));
    await writeFile(path.join(after, 'f'), 'same-length-2\n');
    await run('touch', ['-r', path.join(before, 'f'), path.join(after, 'f')]);
    assert.equal((await readFile(path.join(after, 'f'))).length, times.size);
    assert.deepEqual(await told(before, after), []);
  });
});

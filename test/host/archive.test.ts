import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  lstat,
  mkdir,
  open,
  readFile,
  readdir,
  readlink,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../../src/errors/thin-error.js';
import { Archive, type Progress } from '../../src/host/archive.js';
import { changes } from '../../src/host/changes.js';
import { ChildProcessExec } from '../../src/host/exec.js';
import { FilesystemTools } from '../../src/host/filesystem-tools.js';
import { inspectSource } from '../../src/host/image-source.js';
import { requireSoundLayers } from '../../src/host/layer-names.js';
import { LoopDevices } from '../../src/host/loop-devices.js';
import { Mounter } from '../../src/host/mounter.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { SPARSE_BYTES, blocksOf, describeTree, makeRichTree, namesIn } from './rich-tree.js';

const exec = new ChildProcessExec();
const coded =
  (code: string, pattern = /./) =>
  (error: unknown) =>
    error instanceof ThinError && error.code === code && pattern.test(error.message);

/** A tar with members exactly as given, which tar itself would not write. */
function hostileTar(
  members: readonly {
    name: string;
    type?: '0' | '1' | '2' | '3' | '5' | '6';
    link?: string;
    content?: string;
  }[],
): Buffer {
  const blocks: Buffer[] = [];
  for (const { name, type = '0', link = '', content = '' } of members) {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000755\0', 100);
    header.write('0000000\0', 108);
    header.write('0000000\0', 116);
    header.write(`${Buffer.byteLength(content).toString(8).padStart(11, '0')}\0`, 124);
    header.write('00000000000\0', 136);
    header.write('        ', 148);
    header.write(type, 156);
    header.write(link, 157);
    header.write('ustar\x0000', 257);
    // The null device, where it is one.
    header.write('0000001\0', 329);
    header.write('0000003\0', 337);
    const sum = header.reduce((a, b) => a + b, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    const body = Buffer.alloc(Math.ceil(Buffer.byteLength(content) / 512) * 512);
    body.write(content);
    blocks.push(header, body);
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

describe('Archive', function () {
  this.timeout(300_000);
  requireMounts(['tar', 'getfattr', 'setfattr', 'setcap', 'setfacl', 'mkfs.xfs', 'umoci']);
  const scratch = useScratch();
  const archive = new Archive(exec, { progressMs: 1 });
  let tree: string;
  let described: string | undefined;

  // Not `before`, which would run where mount tests are left out.
  beforeEach(async () => {
    if (described !== undefined) return;
    tree = await scratch.current.folder('tree');
    await makeRichTree(tree);
    described = await describeTree(tree);
  });

  async function same(root: string): Promise<void> {
    assert.equal(await describeTree(root), described);
    assert((await blocksOf(root)) < 10 * 1024 * 1024, 'holes were filled');
    assert.equal((await stat(path.join(root, 'sparse'))).size, SPARSE_BYTES);
    for await (const change of changes(exec, tree, root)) assert.fail(`${change.kind} ${change.path}`);
  }

  it('copies a folder with all that is in it', async () => {
    const root = await scratch.current.folder('root');
    const told: Progress[] = [];
    const { source, warnings } = await archive.import(tree, root, {
      onProgress: (progress) => told.push(progress),
    });
    assert.deepEqual([source.kind, warnings], ['folder', []]);
    await same(root);
    const last = told.at(-1);
    assert(last !== undefined && last.total > 0);
    assert.equal(last.done, last.total);
    assert(told.every(({ done }, i) => done >= (told[i - 1]?.done ?? 0)));
  });

  it('takes a tree out and in again exactly', async () => {
    const file = scratch.current.at('export.tar');
    assert.deepEqual(await archive.export(tree, { file }), []);
    assert((await stat(file)).size < 1024 * 1024);
    const root = await scratch.current.folder('root');
    assert.equal((await archive.import(file, root)).source.kind, 'tar');
    await same(root);
    const second = scratch.current.at('second.tar');
    await archive.export(root, { file: second }, { onProgress: () => undefined });
    assert(!(await readdir(scratch.current.root)).some((name) => name.endsWith('.part')));
  });

  it('does so on xfs in an image too', async () => {
    const mounter = new Mounter(exec, new LoopDevices(exec), new FilesystemTools(exec));
    const image = scratch.current.at('xfs.img');
    await (await open(image, 'w')).close();
    await truncate(image, 512 * 1024 * 1024);
    await mounter.format(image, 'xfs');
    const target = await scratch.current.folder('mnt');
    const mounted = await mounter.mount({ image, target, filesystem: 'xfs', readOnly: false });
    const root = path.join(target, 'rootfs');
    await mkdir(root);
    await archive.import(tree, root);
    await same(root);
    const file = scratch.current.at('xfs.tar');
    await archive.export(root, { file });
    const back = await scratch.current.folder('root');
    await archive.import(file, back);
    await same(back);
    await mounter.unmount(mounted);
  });

  it('reads compressed tars', async () => {
    const plain = scratch.current.at('plain.tar');
    await archive.export(tree, { file: plain });
    for (const tool of ['gzip', 'xz', 'zstd', 'bzip2']) {
      await run('sh', ['-c', `${tool} -c < "$0" > "$0.${tool}"`, plain]);
      const root = await scratch.current.folder('root');
      const told: Progress[] = [];
      await archive.import(`${plain}.${tool}`, root, { onProgress: (progress) => told.push(progress) });
      await same(root);
      assert.equal(told.at(-1)?.done, (await stat(`${plain}.${tool}`)).size);
    }
  });

  it('writes to an open descriptor', async () => {
    const file = scratch.current.at('by-fd.tar');
    const handle = await open(file, 'w');
    await archive.export(tree, { fd: handle.fd });
    await handle.close();
    const root = await scratch.current.folder('root');
    await archive.import(file, root);
    await same(root);
  });

  it('takes names with colons and a leading dash for names', async () => {
    const folder = await scratch.current.folder('names');
    for (const name of ['host:file.tar', '-f.tar']) {
      await archive.export(tree, { file: path.join(folder, name) });
      const root = await scratch.current.folder('root');
      await archive.import(path.join(folder, name), root);
      await same(root);
    }
    const root = await scratch.current.folder('root');
    await mkdir(path.join(folder, '--x'));
    await archive.import(path.join(folder, '--x'), root);
  });

  it('stops when it is told to, and leaves no half file', async () => {
    const stop = new AbortController();
    stop.abort();
    const file = scratch.current.at('never.tar');
    await assert.rejects(archive.export(tree, { file }, { signal: stop.signal }), coded('closed'));
    const root = await scratch.current.folder('root');
    await assert.rejects(archive.import(tree, root, { signal: stop.signal }), coded('closed'));
    assert(!(await readdir(scratch.current.root)).some((name) => name.includes('never')));
  });

  it('says what is wrong with what it is given', async () => {
    const root = await scratch.current.folder('root');
    const bad = scratch.current.at('bad.tar');
    await assert.rejects(archive.import(scratch.current.at('nope'), root), coded('not-found', /nope/));
    await assert.rejects(archive.import('/dev/null', root), coded('invalid-argument', /neither/));
    await writeFile(bad, 'this is no tar'.repeat(100));
    await assert.rejects(archive.import(bad, root), coded('tool-failed', /does not look like a tar archive/));
    await archive.export(tree, { file: bad });
    await truncate(bad, 20_000);
    await assert.rejects(archive.import(bad, root), coded('tool-failed', /Unexpected EOF/));
    await assert.rejects(
      archive.export(tree, { file: scratch.current.at('no', 'folder.tar') }),
      coded('not-found'),
    );
  });

  it('says that the target is full', async () => {
    const root = await scratch.current.mount('none', 'tmpfs', ['size=64k']);
    const big = await scratch.current.folder('big');
    await writeFile(path.join(big, 'file'), Buffer.alloc(1 << 20, 1));
    await assert.rejects(archive.import(big, root), coded('no-space', /larger device/));
    const file = scratch.current.at('big.tar');
    await archive.export(big, { file });
    await rm(path.join(root, 'file'), { force: true });
    await assert.rejects(archive.import(file, root), coded('no-space'));
  });

  describe('hostile tars', () => {
    let outside: string;
    let root: string;
    beforeEach(async () => {
      const folder = await scratch.current.folder('hostile');
      outside = path.join(folder, 'outside');
      root = path.join(folder, 'root');
      await mkdir(outside);
      await mkdir(root);
      await writeFile(path.join(outside, 'kept'), 'kept');
    });

    async function attempt(members: Parameters<typeof hostileTar>[0]): Promise<void> {
      const file = scratch.current.at('hostile.tar');
      await writeFile(file, hostileTar(members));
      await archive.import(file, root).catch(() => undefined);
      assert.deepEqual(await namesIn(outside), ['kept']);
      assert.equal(await readFile(path.join(outside, 'kept'), 'utf8'), 'kept');
      assert.equal((await stat(path.join(outside, 'kept'))).nlink, 1);
      assert.deepEqual(await namesIn(path.dirname(root)), ['outside', 'root']);
    }

    it('cannot climb with ..', () =>
      attempt([
        { name: '../outside/evil', content: 'x' },
        { name: 'a/../../outside/evil', content: 'x' },
      ]));
    it('cannot name an absolute path', async () => {
      await attempt([{ name: `${outside}/kept`, content: 'evil' }]);
      assert.equal(await readFile(path.join(root, outside, 'kept'), 'utf8'), 'evil');
    });
    it('cannot write through a link it made', () =>
      attempt([
        { name: 'link', type: '2', link: outside },
        { name: 'link/evil', content: 'x' },
        { name: 'up', type: '2', link: '../outside' },
        { name: 'up/evil', content: 'x' },
        { name: 'file', type: '2', link: `${outside}/kept` },
        { name: 'file', content: 'evil' },
      ]));
    it('get what lies below a link of theirs inside the root, as a container would see it', async () => {
      const file = scratch.current.at('links.tar');
      await writeFile(
        file,
        hostileTar([
          { name: 'var', type: '5' },
          { name: 'var/run', type: '2', link: '/run' },
          { name: 'var/run/x', content: 'x' },
          { name: 'out', type: '2', link: outside },
          { name: 'out/y', content: 'y' },
          { name: 'up', type: '2', link: '../../../../outside' },
          { name: 'up/z', content: 'z' },
        ]),
      );
      await run('gzip', ['--keep', file]);
      for (const each of [file, `${file}.gz`]) {
        await run('sh', ['-c', 'rm -rf "$0"; mkdir "$0"', root]);
        await archive.import(each, root);
        assert.equal(await readlink(path.join(root, 'var/run')), '/run');
        assert.equal(await readFile(path.join(root, 'run/x'), 'utf8'), 'x');
        assert.equal(await readFile(path.join(root, outside, 'y'), 'utf8'), 'y');
        assert.equal(await readFile(path.join(root, 'outside/z'), 'utf8'), 'z');
        assert.deepEqual(await namesIn(outside), ['kept']);
      }
    });
    it('keep the holes of a file that is larger than any disk', async () => {
      const big = path.join(outside, 'big');
      await run('truncate', ['--size=1T', big]);
      const file = scratch.current.at('sparse.tar');
      await run('tar', ['--sparse', '--create', `--file=${file}`, `--directory=${outside}`, 'big']);
      await rm(big);
      await archive.import(file, root);
      const { size, blocks } = await stat(path.join(root, 'big'));
      assert.deepEqual([size, blocks < 1000], [2 ** 40, true]);
    });
    it('are refused as layers with names that climb, and with files that are mostly holes', async () => {
      const sum = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      const attemptLayer = async (bytes: Uint8Array, code: string): Promise<void> => {
        const file = scratch.current.at('layer.tar');
        await writeFile(file, bytes);
        const layer = { digest: sum(bytes), size: bytes.length, file, gzipped: false };
        await assert.rejects(requireSoundLayers({ config: layer, layers: [layer] }, 2 ** 34), coded(code));
      };
      for (const name of ['.wh..', '.wh...', 'a/.wh.', 'a/.wh...', '.wh.../b', 'a/../../b', '../b'])
        await attemptLayer(hostileTar([{ name, content: '' }]), 'damaged');
      await run('truncate', ['--size=1G', path.join(outside, 'big')]);
      for (const format of ['gnu', 'posix']) {
        const tar = scratch.current.at('holes.tar');
        const args = [
          '--sparse',
          `--format=${format}`,
          '--create',
          `--file=${tar}`,
          `--directory=${outside}`,
        ];
        await run('tar', [...args, 'big']);
        await attemptLayer(await readFile(tar), 'unsupported');
      }
    });
    it('cannot chain links', () =>
      attempt([
        { name: 'a', type: '5' },
        { name: 'a/up', type: '2', link: '..' },
        { name: 'b', type: '2', link: 'a/up/../outside' },
        { name: 'b/evil', content: 'x' },
      ]));
    it('cannot write into a device or a pipe that it made', async () => {
      await attempt([
        { name: 'null', type: '3' },
        { name: 'null', content: 'a file' },
        { name: 'pipe', type: '6' },
        { name: 'pipe', content: 'a file' },
        { name: 'zero', type: '3' },
      ]);
      for (const name of ['null', 'pipe'])
        assert.equal(await readFile(path.join(root, name), 'utf8'), 'a file', name);
      assert.ok((await lstat(path.join(root, 'zero'))).isCharacterDevice());
    });
    it('cannot make a hard link to the outside', () =>
      attempt([
        { name: 'hard', type: '1', link: `${outside}/kept` },
        { name: 'hard', content: 'evil' },
        { name: 'hard2', type: '1', link: '../outside/kept' },
      ]));
  });

  describe('images', () => {
    let layout: string;

    async function layer(name: string, make: (folder: string) => Promise<void>): Promise<void> {
      const folder = await scratch.current.folder(name);
      await make(folder);
      const file = `${folder}.tar`;
      await archive.export(folder, { file });
      await run('umoci', ['raw', 'add-layer', '--image', `${layout}:t`, file]);
    }

    before(async () => {
      layout = scratch.current.at('layout');
      await run('umoci', ['init', '--layout', layout]);
      await run('umoci', ['new', '--image', `${layout}:t`]);
      await layer('lower', async (folder) => {
        await run('sh', [
          '-c',
          'cd "$0" && mkdir -p etc opaque/deep usr/lib && echo 1 > etc/gone && echo 1 > etc/kept && echo 1 > opaque/old && ln -s usr/lib lib && echo l > usr/lib/l',
          folder,
        ]);
        await writeFile(path.join(folder, 'capable'), 'x');
        await run('setcap', ['cap_net_raw+ep', path.join(folder, 'capable')]);
        await run('setfattr', ['-n', 'user.binary', '-v', '0x00ff0a', path.join(folder, 'capable')]);
        await run('mknod', [path.join(folder, 'null'), 'c', '1', '3']);
      });
      await layer('upper', async (folder) => {
        await run('sh', [
          '-c',
          'cd "$0" && mkdir etc opaque && : > etc/.wh.gone && echo 2 > etc/kept && : > opaque/.wh..wh..opq && echo 2 > opaque/new',
          folder,
        ]);
      });
    });

    async function right(source: string, kind: string): Promise<void> {
      const root = await scratch.current.folder('root');
      const told: Progress[] = [];
      assert.equal((await inspectSource(exec, source)).kind, kind);
      await archive.import(source, root, { onProgress: (progress) => told.push(progress) });
      assert.deepEqual(await namesIn(root), ['capable', 'etc', 'lib', 'null', 'opaque', 'usr']);
      assert.deepEqual(await namesIn(path.join(root, 'etc')), ['kept']);
      assert.equal(await readFile(path.join(root, 'etc/kept'), 'utf8'), '2\n');
      assert.deepEqual(await namesIn(path.join(root, 'opaque')), ['new']);
      assert.equal(await readlink(path.join(root, 'lib')), 'usr/lib');
      assert.equal((await lstat(path.join(root, 'null'))).rdev, 0x103);
      const attributes = await run('getfattr', [
        '-d',
        '-m',
        '-',
        '-e',
        'hex',
        '--absolute-names',
        path.join(root, 'capable'),
      ]);
      assert.match(attributes, /security\.capability=0x/);
      assert.match(attributes, /user\.binary=0x00ff0a/);
      assert(told.length > 0 && told.at(-1)?.done === told.at(-1)?.total);
    }

    it('come from an OCI layout, in a folder or a tar, compressed or not', async () => {
      await right(layout, 'image-folder');
      const file = scratch.current.at('oci.tar');
      await run('tar', ['-C', layout, '-cf', file, '.']);
      await right(file, 'image-archive');
      await run('gzip', ['-kf', file]);
      await right(`${file}.gz`, 'image-archive');
    });

    it('come from what docker save writes', async () => {
      const folder = await scratch.current.folder('saved');
      const index = JSON.parse(await readFile(path.join(layout, 'index.json'), 'utf8')) as {
        manifests: { digest: string }[];
      };
      const blob = (digest: string): string => path.join(layout, 'blobs/sha256', digest.slice(7));
      const manifest = JSON.parse(await readFile(blob(index.manifests[0]?.digest ?? ''), 'utf8')) as {
        config: { digest: string };
        layers: { digest: string }[];
      };
      const config = manifest.config.digest.slice(7);
      await run('cp', [blob(manifest.config.digest), path.join(folder, `${config}.json`)]);
      const names: string[] = [];
      for (const [i, { digest }] of manifest.layers.entries()) {
        const name = digest.slice(7);
        await mkdir(path.join(folder, name));
        await run('sh', ['-c', 'gzip -dc < "$0" > "$1"', blob(digest), path.join(folder, `${name}.tar`)]);
        if (i === 0) await symlink(`../${name}.tar`, path.join(folder, name, 'layer.tar'));
        else await run('mv', [path.join(folder, `${name}.tar`), path.join(folder, name, 'layer.tar')]);
        names.push(`${name}/layer.tar`);
      }
      await writeFile(path.join(folder, 'repositories'), '{}');
      await writeFile(
        path.join(folder, 'manifest.json'),
        JSON.stringify([{ Config: `${config}.json`, RepoTags: ['a:1'], Layers: names }]),
      );
      const file = scratch.current.at('saved.tar');
      await run('sh', ['-c', 'cd "$0" && tar -cf "$1" *', folder, file]);
      await right(file, 'image-archive');

      const root = await scratch.current.folder('root');
      const bad = scratch.current.at('bad-image.tar');
      await writeFile(
        path.join(folder, 'manifest.json'),
        JSON.stringify([{ Config: '../../../../../../../etc/passwd', Layers: names }]),
      );
      await run('sh', ['-c', 'cd "$0" && tar -cf "$1" *', folder, bad]);
      await assert.rejects(archive.import(bad, root), coded('damaged', /leads elsewhere/));
      const twice = { Config: `${config}.json`, RepoTags: ['a:1'], Layers: names };
      await writeFile(
        path.join(folder, 'manifest.json'),
        JSON.stringify([twice, { ...twice, RepoTags: ['b:2'] }]),
      );
      await run('sh', ['-c', 'cd "$0" && tar -cf "$1" *', folder, bad]);
      await assert.rejects(archive.import(bad, root), coded('invalid-argument', /a:1, b:2/));
      assert.deepEqual(await namesIn(root), []);
    });

    it('cannot write outside through a link of a lower layer', async () => {
      const folder = await scratch.current.folder('outside');
      const before = layout;
      layout = scratch.current.at('hostile-layout');
      await run('umoci', ['init', '--layout', layout]);
      await run('umoci', ['new', '--image', `${layout}:t`]);
      const add = async (name: string, members: Parameters<typeof hostileTar>[0]): Promise<void> => {
        await writeFile(scratch.current.at(name), hostileTar(members));
        await run('umoci', ['raw', 'add-layer', '--image', `${layout}:t`, scratch.current.at(name)]);
      };
      await add('h1.tar', [{ name: 'link', type: '2', link: folder }]);
      await add('h2.tar', [{ name: 'link/evil', content: 'x' }]);
      const root = await scratch.current.folder('root');
      await archive.import(layout, root).catch(() => undefined);
      assert.deepEqual(await namesIn(folder), []);
      layout = before;
    });

    it('are refused when a blob is not what its digest says', async () => {
      const copy = scratch.current.at('damaged-layout');
      await run('cp', ['-a', layout, copy]);
      const blobs = path.join(copy, 'blobs/sha256');
      const sizes = await Promise.all(
        (await readdir(blobs)).map(async (name) => ({
          name,
          start: (await readFile(path.join(blobs, name))).subarray(0, 2),
        })),
      );
      const layers = sizes.filter(({ start }) => start.toString('hex') === '1f8b');
      await writeFile(
        path.join(blobs, layers[0]?.name ?? ''),
        await readFile(path.join(blobs, layers[1]?.name ?? '')),
      );
      const root = await scratch.current.folder('root');
      await assert.rejects(archive.import(copy, root), coded('tool-failed', /umoci/));
      await rm(path.join(blobs, layers[0]?.name ?? ''));
      await assert.rejects(archive.import(copy, root), coded('damaged', /lacks/));
    });
  });
});

import assert from 'node:assert/strict';
import { parseSnapshotters, snapshotterText } from '../../src/containerd/snapshotter-settings.js';

const HERE = { root: '/pool', mounts: 'bind' } as const;
const GIB = 2 ** 30;

describe('--snapshotter', () => {
  const parse = (...texts: readonly string[]): ReturnType<typeof parseSnapshotters> =>
    parseSnapshotters(texts, HERE);

  it('alone, or with a path, is one snapshotter for all names', () => {
    assert.deepEqual(parse(''), [{ socket: '/pool/snapshotter.sock', mounts: 'bind' }]);
    assert.deepEqual(parse('/run/x,y=z'), [{ socket: '/run/x,y=z', mounts: 'bind' }]);
    assert.deepEqual(parse('/run/thinfuse.sock'), [{ socket: '/run/thinfuse.sock', mounts: 'bind' }]);
  });

  it('takes names, each with its socket and defaults', () => {
    assert.deepEqual(parse('docker', 'kata=/run/kata.sock,mounts=loop,size=20G,fs=xfs'), [
      { name: 'docker', socket: '/pool/snapshotter-docker.sock', mounts: 'bind' },
      { name: 'kata', socket: '/run/kata.sock', mounts: 'loop', size: 20 * GIB, filesystem: 'xfs' },
    ]);
  });

  it('is handed on to the daemon as it was read', () => {
    const all = parseSnapshotters(
      ['', 'docker,size=1.5G', 'kata=/run/kata.sock,mounts=loop,fs=ext4', 'k3s,containerd=/run/k3s/c.sock'],
      HERE,
    );
    assert.equal(all.at(-1)?.containerd, '/run/k3s/c.sock');
    const lazy = parse('a,lazy=on', 'b,lazy=r.example.org+localhost:5000', 'c,lazy=off');
    assert.deepEqual(
      lazy.map((settings) => settings.lazy),
      ['all', ['r.example.org', 'localhost:5000'], undefined],
    );
    assert.deepEqual(
      parse(...lazy.map(snapshotterText)).map((settings) => settings.lazy),
      ['all', ['r.example.org', 'localhost:5000'], undefined],
    );
    assert.deepEqual(parseSnapshotters(all.map(snapshotterText), { ...HERE, root: '/other' }), all);
  });

  it('refuses what it does not understand', () => {
    for (const [texts, code] of [
      [['a b'], 'invalid-argument'],
      [['a='], 'invalid-argument'],
      [['a,mounts=fuse'], 'invalid-argument'],
      [['a,fs=btrfs'], 'invalid-argument'],
      [['a,size=much'], 'invalid-argument'],
      [['a,containerd=run/containerd.sock'], 'invalid-argument'],
      [['a,lazy=yes'], 'invalid-argument'],
      [['a,lazy=r.example.org/shop'], 'invalid-argument'],
      [['a,lazy'], 'invalid-argument'],
      [['a,sise=1G'], 'unknown-option'],
      [['a', 'a=/run/other.sock'], 'invalid-argument'],
      [['a=/run/x.sock', 'b=/run/x.sock'], 'invalid-argument'],
    ] as const)
      assert.throws(() => parseSnapshotters(texts, HERE), { code }, texts.join(' '));
  });
});

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { status } from '@grpc/grpc-js';
import type { MountMessage } from '../../src/containerd/messages.js';
import { Cli } from '../support/cli.js';
import { containerdConfig } from '../support/containerd-config.js';
import { DiffClient, type Descriptor } from '../support/diff-client.js';
import { eventually } from '../support/eventually.js';
import { loopsUnder, requireMounts, run, tryRun, useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

const LAYER = 'application/vnd.oci.image.layer.v1.tar';

/** The layer below. Where times have no fraction, as those of a tar, the walking differ compares contents. */
const BELOW = `
mkdir -p bin etc/deep/deeper var/gone/sub var/kept 'with space' moved/inner links
for name in a b c d e f; do echo "$name" > etc/$name; touch -d @1700000000 etc/$name; done
echo same > etc/fraction
echo deep > etc/deep/deeper/file; touch -d @1600000000 etc/deep/deeper/file
echo x > var/gone/sub/x; echo y > var/gone/y; echo z > var/kept/z; echo w > 'with space/w'
mkdir var/to-file; echo 1 > var/to-file/1; echo 2 > var/to-folder
ln -s a etc/link; ln -s b etc/kept-link
echo linked > links/one; ln links/one links/two; ln links/one links/zero
echo alone > links/m-alone; touch -d @1700000000 links/m-alone
echo inner > moved/inner/file; ln moved/inner/file links/of-moved
mknod etc/null c 1 3; mkfifo etc/fifo
echo capable > bin/capable; touch -d @1700000000 bin/capable; setcap cap_net_raw+ep bin/capable
echo plain > bin/plain
`;

/** What a container does to it. */
const ABOVE = `
echo A > etc/a
printf B > etc/b; echo >> etc/b; touch -d @1700000000 etc/b
touch -d @1700000000 etc/c
chmod 4755 etc/d
chown 70000:3000000 etc/e
touch -d @1800000000 etc/f
setfattr -n user.note -v note etc/fraction
ln -sfn elsewhere etc/link
rm -r var/gone var/to-file; echo now > var/to-file; rm var/to-folder; mkdir var/to-folder; echo 3 > var/to-folder/3
echo new > 'with space/neu-\u00fc'; echo long > "etc/deep/$(printf 'n%.0s' $(seq 150))"
mkdir -p "$(printf 'folder%.0s/' $(seq 30))"; echo end > "$(printf 'folder%.0s/' $(seq 30))end"
ln links/m-alone links/a-new; ln links/m-alone links/z-new
echo changed >> links/one
mv moved renamed
mknod etc/disk b 259 200000; mknod etc/null2 c 1 3; mkfifo -m 600 etc/fifo2
setcap cap_setuid,cap_net_raw+ep bin/capable; setcap cap_net_raw+ep bin/plain
echo none > etc/none; chmod 000 etc/none; : > etc/empty; truncate -s 3M etc/sparse
echo old > etc/old; touch -d '1960-01-02 03:04:05.5' etc/old; echo late > etc/late; touch -d '2040-01-01 00:00:00.7' etc/late
ln -s "$(printf 't%.0s' $(seq 120))" etc/far; ln etc/kept-link etc/second-link
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("etc/socket")'
mkdir -m 1777 tmp; head -c 5000000 /dev/urandom > tmp/data
mkdir never; rmdir never
`;

/** Each member with what it has, and the digest of its content. */
const MEMBERS = `
import hashlib, json, sys, tarfile
found = []
tar = tarfile.open(sys.argv[1], 'r:')
for member in tar:
    body = tar.extractfile(member).read() if member.isreg() else b''
    found.append([member.name, member.type.decode(), member.mode, member.uid, member.gid, member.uname, member.gname,
        member.size, member.mtime if '.wh.' not in member.name else 0, member.linkname, member.devmajor, member.devminor,
        {k: v.encode('utf-8', 'surrogateescape').hex() for k, v in member.pax_headers.items() if k.startswith('SCHILY')},
        hashlib.sha256(body).hexdigest()])
print(json.dumps(found))
`;

describe('end to end: layers by changed blocks, beside those of the walking differ of containerd', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'containerd', 'ctr', 'python3', 'setcap', 'setfattr', 'zstd']);
  const scratch = useScratch();
  const at = (name: string): string => scratch.current.at(name);
  let cli: Cli;
  let walking: DiffClient;
  const clients: { readonly close: () => void }[] = [];

  before('a pool with two snapshotters, and a containerd', async () => {
    await writeFile(at('config.toml'), containerdConfig(at));
    scratch.current.start('containerd', ['--config', at('config.toml')]);
    cli = new Cli(scratch.current, 'pool');
    await cli.run('init', '--base-size', '512M', '--data-size', '4G');
    const told = (fs: string): string[] => [
      '--snapshotter',
      `${fs}=${at(`${fs}.sock`)},fs=${fs},containerd=${at('containerd.sock')}`,
    ];
    await cli.run(
      'start',
      ...told('ext4'),
      ...told('xfs'),
      '--snapshotter',
      `nowhere,containerd=${at('no.sock')}`,
    );
    await eventually(
      'containerd answers',
      async () => (await tryRun('ctr', ['--address', at('containerd.sock'), 'version'])).code === 0,
    );
    walking = await DiffClient.at(at('containerd.sock'));
    clients.push(walking);
  });
  after(() => clients.forEach((client) => client.close()));

  async function connected(
    socket: string,
    name: string,
  ): Promise<{ readonly snapshots: SnapshotClient; readonly differ: DiffClient }> {
    const [snapshots, differ] = [new SnapshotClient(socket, name), await DiffClient.at(socket)];
    clients.push(snapshots, differ);
    return { snapshots, differ };
  }

  const fill = (mounts: readonly MountMessage[], script: string): Promise<string> =>
    run('bash', ['-euc', script], { cwd: mounts[0]?.source ?? '' });

  const blobOf = ({ digest }: Descriptor): string =>
    at(`root-of-containerd/io.containerd.content.v1.content/blobs/${digest.replace(':', '/')}`);

  async function members(layer: Descriptor): Promise<unknown[]> {
    const file = at('layer.tar');
    const unpack = layer.mediaType.endsWith('zstd')
      ? 'zstd -dc'
      : layer.mediaType.endsWith('gzip')
        ? 'gzip -dc'
        : 'cat';
    await run('sh', ['-c', `${unpack} '${blobOf(layer)}' > '${file}'`]);
    return JSON.parse(await run('python3', ['-c', MEMBERS, file])) as unknown[];
  }

  const labelsOf = async ({ digest }: Descriptor): Promise<string> =>
    (await run('ctr', ['--address', at('containerd.sock'), 'content', 'ls']))
      .split('\n')
      .find((line) => line.includes(digest)) ?? '';

  for (const fs of ['ext4', 'xfs'])
    it(`are the same, member by member, in ${fs}: of a container that runs, of one that is committed, and of a lowest layer`, async () => {
      const { snapshots, differ } = await connected(at(`${fs}.sock`), fs);
      await fill(await snapshots.prepare('extract'), BELOW);
      await snapshots.commit('below', 'extract');
      const left = await snapshots.view('left', 'below');
      const right = await snapshots.prepare('container', 'below');
      await fill(right, ABOVE);

      const expected = await members(await walking.diff({ left, right, mediaType: LAYER }));
      assert(expected.length > 60, `${expected.length} members`);
      for (const mediaType of [LAYER, `${LAYER}+gzip`, `${LAYER}+zstd`]) {
        const layer = await differ.diff({ left, right, mediaType, labels: { mark: 'ours' } });
        assert.equal(layer.mediaType, mediaType);
        assert.deepEqual(await members(layer), expected);
        const labels = await labelsOf(layer);
        assert.match(labels, /mark=ours/);
        assert.equal(labels.includes('containerd.io/uncompressed=sha256:'), mediaType !== LAYER);
      }
      // Once more, under a name of the caller's, and one that is there already.
      const again = await differ.diff({ left, right, ref: 'mine' });
      assert.deepEqual(await differ.diff({ left, right, ref: 'mine' }), again);
      assert.equal(again.mediaType, `${LAYER}+gzip`);

      await snapshots.commit('above', 'container');
      const top = await snapshots.view('top', 'above');
      assert.deepEqual(await members(await differ.diff({ left, right: top })), expected);

      // BuildKit's lowest layer is compared with no mounts at all, others' with an empty snapshot.
      const all = await members(await walking.diff({ left: [], right: left, mediaType: LAYER }));
      assert.deepEqual(await members(await differ.diff({ left: [], right: left })), all);
      const nothing = await snapshots.view('nothing');
      const whole = await members(await walking.diff({ left: nothing, right: left, mediaType: LAYER }));
      assert.deepEqual(await members(await differ.diff({ left: nothing, right: left })), whole);
      assert.deepEqual(await members(await differ.diff({ left, right: left })), []);
    });

  it('clamps times to SOURCE_DATE_EPOCH', async () => {
    const { snapshots, differ } = await connected(at('ext4.sock'), 'epoch');
    const right = await snapshots.prepare('container');
    await fill(right, 'echo new > new; echo old > old; touch -d @1000 old');
    const layer = await differ.diff({ left: [], right, sourceDateEpoch: { seconds: '2000' } });
    const times = (await members(layer)).map((member) => [
      (member as unknown[])[0],
      (member as unknown[])[8],
    ]);
    assert.deepEqual(times, [
      ['new', 2000],
      ['old', 1000],
    ]);
  });

  it('leaves to the next differ what it cannot tell', async () => {
    const { snapshots, differ } = await connected(at('ext4.sock'), 'left-out');
    await fill(await snapshots.prepare('one'), 'echo 1 > one');
    await snapshots.commit('first', 'one');
    await fill(await snapshots.prepare('two'), 'echo 2 > two');
    await snapshots.commit('second', 'two');
    const [left, right] = [await snapshots.view('l', 'first'), await snapshots.view('r', 'second')];
    const isPassedOn = { code: status.UNIMPLEMENTED };
    await assert.rejects(differ.diff({ left, right }), isPassedOn);
    await assert.rejects(differ.diff({ left, right: [] }), isPassedOn);
    const elsewhere = [{ type: 'bind', source: '/tmp', options: ['rbind', 'ro'] }];
    await assert.rejects(differ.diff({ left: elsewhere, right }), isPassedOn);
    const mapped = right.map((mount) => ({ ...mount, options: [...mount.options, 'uidmap=0:1000:1000'] }));
    await assert.rejects(differ.diff({ left: right, right: mapped }), isPassedOn);
    const docker = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
    await assert.rejects(differ.diff({ left: right, right, mediaType: docker }), isPassedOn);
    await assert.rejects(differ.diff({ left: right, right }, { 'containerd-namespace': '' }), isPassedOn);
    await assert.rejects(differ.apply(), isPassedOn);

    const away = await connected(path.join(cli.root, 'snapshotter-nowhere.sock'), 'nowhere');
    const view = await away.snapshots.view('view');
    await assert.rejects(away.differ.diff({ left: view, right: view }), isPassedOn);
    assert.match(await readFile(path.join(cli.root, 'thinfuse.log'), 'utf8'), /no containerd answers on/);
    await assert.rejects(walking.diff({ left: elsewhere, right, mediaType: 'text/plain' }), isPassedOn);
  });

  it('keeps a layer that no image has yet from the collection of containerd', async () => {
    const { snapshots, differ } = await connected(at('xfs.sock'), 'collected');
    const left = await snapshots.view('left');
    const right = await snapshots.prepare('container');
    await fill(right, 'echo kept > kept');
    const layer = await differ.diff({ left, right });
    const ctr = (...args: readonly string[]): Promise<string> =>
      run('ctr', ['--address', at('containerd.sock'), ...args]);
    // A lease that is removed in this way has the collection run before the answer.
    await ctr('leases', 'create', '--id', 'passing');
    await ctr('leases', 'delete', '--sync', 'passing');
    assert.match(await labelsOf(layer), /containerd.io\/uncompressed/);
    assert.match(await ctr('leases', 'ls'), /thinfuse-diff-\S+.*gc.expire=/);
  });

  /** Bytes that were read from the pool's loop devices so far. */
  async function readSoFar(): Promise<number> {
    const read = async (loop: string): Promise<number> => {
      const stat = await readFile(`/sys/block/${path.basename(loop)}/stat`, 'utf8');
      return Number(stat.trim().split(/\s+/)[2]) * 512;
    };
    return (await Promise.all((await loopsUnder(cli.root)).map(read))).reduce((sum, bytes) => sum + bytes, 0);
  }

  for (const fs of ['ext4', 'xfs'])
    it(`reads what changed, and not the image, in ${fs}`, async () => {
      const { snapshots, differ } = await connected(at(`${fs}.sock`), 'read');
      await fill(
        await snapshots.prepare('extract'),
        `for folder in $(seq 20); do mkdir $folder; for file in $(seq 20); do
           head -c 150000 /dev/urandom > $folder/$file; touch -d @1700000000 $folder/$file; done; done`,
      );
      await snapshots.commit('image', 'extract');
      const change = 'for i in $(seq 10); do echo changed >> $i/$i; done';
      await fill(await snapshots.prepare('container', 'image'), change);
      await snapshots.commit('changed', 'container');
      // No cache has anything of a fresh view.
      const readBy = async (who: DiffClient, name: string): Promise<number> => {
        const left = await snapshots.view(`${name}-left`, 'image');
        const right = await snapshots.view(`${name}-right`, 'changed');
        const before = await readSoFar();
        await who.diff({ left, right });
        return (await readSoFar()) - before;
      };
      const [byBlocks, byWalking] = [await readBy(differ, 'ours'), await readBy(walking, 'theirs')];
      assert(byWalking > 2 * 380 * 150_000, `${byWalking} bytes`);
      assert(byBlocks < byWalking / 10, `${byBlocks} of ${byWalking} bytes`);
    });

  it('gives up a layer that nobody waits for', async () => {
    const { snapshots, differ } = await connected(at('ext4.sock'), 'given-up');
    const right = await snapshots.prepare('container');
    await fill(right, 'head -c 200000000 /dev/urandom > data');
    await assert.rejects(differ.diff({ left: [], right }, {}, 2000), { code: status.DEADLINE_EXCEEDED });
    await eventually('the daemon ends the process', async () =>
      /"method":"Diff".*no longer waits/.test(await readFile(path.join(cli.root, 'thinfuse.log'), 'utf8')),
    );
    const active = await run('ctr', ['--address', at('containerd.sock'), 'content', 'active']);
    assert.doesNotMatch(active, /thinfuse-diff/);
    await snapshots.remove('container');
  });
});

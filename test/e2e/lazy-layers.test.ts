import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { STATUS } from '../../src/containerd/status.js';
import { Cli } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { pushOrdinary, sha256, type OrdinaryImage } from '../support/ordinary-image.js';
import { startRegistry, type RunningRegistry } from '../support/registry.js';
import { SnapshotClient } from '../support/snapshot-client.js';

const REF = 'containerd.io/snapshot.ref';
const REPOSITORY = 'shop/web';
/** Bytes of a layer's one large file. */
const LARGE = 4_000_000;

describe('end to end: layers that are fetched as they are read, beside an ordinary image', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'tar']);
  const scratch = useScratch();
  const at = (name: string): string => scratch.current.at(name);
  let registry: RunningRegistry | undefined;
  let [maker, user]: Cli[] = [];
  let host = '';
  let image: OrdinaryImage;
  const tars: Buffer[] = [];
  const clients: SnapshotClient[] = [];

  const cliOf = async (name: string, options: string): Promise<[Cli, SnapshotClient]> => {
    const cli = new Cli(scratch.current, name);
    await cli.run('init', '--base-size', '512M', '--data-size', '4G');
    await cli.run('start', '--snapshotter', `cd=${at(`${name}.sock`)}${options}`);
    const client = new SnapshotClient(at(`${name}.sock`), 'cd');
    clients.push(client);
    return [cli, client];
  };
  const layerOf = async (number: number, only = ''): Promise<Buffer> => {
    const folder = at(`layer${number}${only}`);
    await mkdir(path.join(folder, 'etc'), { recursive: true });
    await writeFile(path.join(folder, 'etc/layer'), `${number}${only}`);
    await writeFile(path.join(folder, `large${number}${only}`), randomBytes(LARGE));
    await run('tar', ['-C', folder, '-cf', `${folder}.tar`, '.']);
    return readFile(`${folder}.tar`);
  };

  /**
   * As containerd's unpacker does it (core/unpack/unpacker.go), and then its metadata (core/metadata).
   * @returns what the backend calls the topmost, and of which layers the tar was wanted
   */
  async function pull(
    client: SnapshotClient,
    { chain, labels }: OrdinaryImage,
    layers: readonly Buffer[],
    space: string,
  ): Promise<{ readonly top: string; readonly unpacked: readonly number[] }> {
    let parent = '';
    const unpacked: number[] = [];
    for (const [number, ref] of chain.entries()) {
      const all = {
        ...labels,
        [REF]: ref,
        'containerd.io/snapshot/cri.layer-digest': sha256(layers[number]!),
      };
      const key = `${space}/${number}/extract-${randomBytes(4).toString('hex')} ${ref}`;
      try {
        const [mount] = await client.prepare(key, parent, all);
        unpacked.push(number);
        await writeFile(at('layer.tar'), layers[number]!);
        await run('tar', ['-C', mount!.source, '-xf', at('layer.tar')]);
        await client.commit(`${space}/${number}/${ref}`, key, all);
        parent = `${space}/${number}/${ref}`;
      } catch (error) {
        assert.equal((error as { code?: number }).code, STATUS.ALREADY_EXISTS, String(error));
        const found = await client.list(`labels."${REF}"==${ref},parent==${JSON.stringify(parent)}`);
        parent = found.find(({ kind }) => kind === 'COMMITTED')?.name ?? assert.fail(`no layer ${ref}`);
      }
    }
    return { top: parent, unpacked };
  }
  const remoteOf = async (cli: Cli): Promise<number> =>
    (await cli.call('remote.images', {})).reduce((sum, { remote }) => sum + remote, 0);
  const logOf = (cli: Cli): Promise<string> => readFile(path.join(cli.root, 'thinfuse.log'), 'utf8');
  const largeIn = (folder: string, name: string): Promise<Buffer> => readFile(path.join(folder, name));

  before('an image of three layers in a registry, unpacked in one pool', async function () {
    const started = await startRegistry();
    if (started === undefined) this.skip();
    registry = started;
    host = started.host;
    for (const number of [0, 1, 2]) tars.push(await layerOf(number));
    image = await pushOrdinary(host, `${REPOSITORY}:1`, tars);
    let client: SnapshotClient;
    [maker, client] = await cliOf('maker', '');
    assert.deepEqual((await pull(client, image, tars, 'default')).unpacked, [0, 1, 2]);
  });
  after(async () => {
    for (const client of clients) client.close();
    await registry?.stop();
  });

  it('gets block images beside it, which change nothing of it, and are sent once', async () => {
    const url = `oci://${host}/${REPOSITORY}:1`;
    const tag = async (): Promise<string> =>
      sha256(
        Buffer.from(
          await (
            await fetch(`http://${host}/v2/${REPOSITORY}/manifests/1`, {
              headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
            })
          ).arrayBuffer(),
        ),
      );
    const before = await tag();
    const pushed = await maker!.json<{
      sent: number;
      subject: string;
      layers: { chain: string; image: string }[];
    }>('push', '--oci', url);
    assert.equal(pushed.subject, image.digest);
    assert.deepEqual(
      pushed.layers.map(({ chain }) => chain),
      image.chain,
    );
    assert.ok(pushed.sent > 3 * LARGE && pushed.sent < 5 * LARGE, `${pushed.sent}`);
    assert.equal(await tag(), before);
    const again = await maker!.json<{ sent: number; layers: unknown }>('push', '--oci', url);
    assert.equal(again.sent, 0);
    assert.deepEqual(again.layers, pushed.layers);
  });

  it('refuses devices that are not the layers of the image, and places that are none', async () => {
    const url = `oci://${host}/${REPOSITORY}:1`;
    await maker!.run('device', 'create', 'other', '--size', '64M');
    assert.equal((await maker!.try('push', '--oci', 'other', url)).code, 3);
    assert.equal((await maker!.try('push', '--oci', `${url}0`)).code, 3);
    assert.equal((await maker!.try('push', '--oci', 's3://bucket/place')).code, 2);
    // An image of thinfuse's own in the same repository.
    await maker!.run('push', 'other', `oci://${host}/${REPOSITORY}:own`);
    const listed = await maker!.json<{ tag: string }[]>('remote', 'ls', `oci://${host}/${REPOSITORY}`);
    assert.deepEqual(
      listed.map(({ tag }) => tag),
      ['own'],
    );
  });

  it('are not unpacked: containers of the topmost have all files, and fetch them as they are read', async () => {
    let client: SnapshotClient;
    [user, client] = await cliOf('user', ',lazy=on');
    const { top, unpacked } = await pull(client, image, tars, 'default');
    assert.deepEqual(unpacked, []);
    const before = await remoteOf(user);
    assert.ok(before > 3 * LARGE, `${before}`);
    // The pool has room for one of each, as if they had been unpacked.
    assert.ok(before < 5 * LARGE, `${before}`);
    const [mount] = await client.prepare('c', top);
    assert.equal(await readFile(path.join(mount!.source, 'etc/layer'), 'utf8'), '2');
    assert.ok((await remoteOf(user)) > 2 * LARGE);
    for (const number of [0, 1, 2])
      assert.ok(
        (await largeIn(mount!.source, `large${number}`)).equals(
          await largeIn(at(`layer${number}`), `large${number}`),
        ),
      );
    await writeFile(path.join(mount!.source, 'etc/layer'), 'written');
    assert.ok(Number((await client.usage(top)).size) > LARGE);
    assert.equal((await client.stat(top)).kind, 'COMMITTED');
    assert.match(await logOf(user), /"event":"lazy"/);
  });

  it('carry other layers, which are unpacked on top of them, and a second namespace and a second name', async () => {
    const client = clients.at(-1)!;
    const other = [tars[0]!, tars[1]!, await layerOf(2, 'other')];
    const beside = await pushOrdinary(host, `${REPOSITORY}:2`, other);
    const { top, unpacked } = await pull(client, beside, other, 'other');
    assert.deepEqual(unpacked, [2]);
    const [mount] = await client.view('v', top);
    assert.equal(await readFile(path.join(mount!.source, 'etc/layer'), 'utf8'), '2other');
    for (const [number, name] of [0, 1, '2other'].entries())
      assert.ok(
        (await largeIn(mount!.source, `large${name}`)).equals(
          await largeIn(at(`layer${name}`), `large${name}`),
        ),
        `layer ${number}`,
      );
    const devices = (await user!.call('device.list', {})).length;
    assert.deepEqual((await pull(client, image, tars, 'second')).unpacked, []);
    assert.equal((await user!.call('device.list', {})).length, devices);
  });

  it('outlive the daemon, and go with the snapshots', async () => {
    const client = clients.at(-1)!;
    await user!.kill();
    await user!.run('start', '--snapshotter', `cd=${at('user.sock')},lazy=on`);
    await eventually('it answers', async () => (await client.list().catch(() => [])).length > 0);
    const { top, unpacked } = await pull(client, image, tars, 'default');
    assert.deepEqual(unpacked, []);
    const [mount] = await client.prepare('d', top);
    assert.ok((await largeIn(mount!.source, 'large1')).equals(await largeIn(at('layer1'), 'large1')));
    for (;;) {
      const left = await client.list();
      const parents = new Set(left.map(({ parent }) => parent));
      const leaves = left.filter(({ name }) => !parents.has(name));
      if (leaves.length === 0) break;
      for (const { name } of leaves) await client.remove(name);
    }
    await eventually('no image is needed', async () => (await user!.call('remote.images', {})).length === 0);
  });

  it('are unpacked where a registry has no block images, or others, or does not answer, and the log says why', async () => {
    const client = clients.at(-1)!;
    const plain = [await layerOf(3)];
    const without = await pushOrdinary(host, 'shop/plain:1', plain);
    assert.deepEqual((await pull(client, without, plain, 'a')).unpacked, [0]);
    assert.match(await logOf(user!), /has no block images/);
    // The labels of one image with the layers of another.
    const wrong = [await layerOf(4)];
    const { chain } = await pushOrdinary(host, 'shop/plain:2', wrong);
    assert.deepEqual((await pull(client, { ...image, chain }, wrong, 'b')).unpacked, [0]);
    assert.match(await logOf(user!), /are not of the layer/);
    const away = [await layerOf(5)];
    const slow = await pushOrdinary(host, 'shop/plain:3', away);
    registry?.freeze(true);
    try {
      assert.deepEqual((await pull(client, slow, away, 'c')).unpacked, [0]);
    } finally {
      registry?.freeze(false);
    }
    assert.match(await logOf(user!), /does not answer/);
    const nowhere = [await layerOf(6)];
    const labels = { ...slow.labels, 'containerd.io/snapshot/cri.image-ref': '127.0.0.1:9/shop/plain:3' };
    const image6 = await pushOrdinary(host, 'shop/plain:4', nowhere);
    assert.deepEqual((await pull(client, { ...image6, labels }, nowhere, 'd')).unpacked, [0]);
  });

  it("come from the mirrors that containerd's hosts.toml names of a registry that is not reached", async () => {
    const name = 'registry.invalid';
    await mkdir(at(`certs.d/${name}`), { recursive: true });
    await writeFile(
      at(`certs.d/${name}/hosts.toml`),
      `[host."http://127.0.0.1:9"]\n[host."http://${host}"]\ncapabilities = ["pull", "resolve"]\n`,
    );
    const cli = new Cli(scratch.current, 'mirrored');
    await cli.run('init', '--base-size', '512M', '--data-size', '4G');
    const settings = `cd=${at('mirrored.sock')},lazy=on`;
    const { code } = await cli.tryWith(
      { THINFUSE_OCI_HOSTS: at('certs.d') },
      'start',
      '--snapshotter',
      settings,
    );
    assert.equal(code, 0);
    const client = new SnapshotClient(at('mirrored.sock'), 'cd');
    clients.push(client);
    const labels = { ...image.labels, 'containerd.io/snapshot/cri.image-ref': `${name}/${REPOSITORY}:1` };
    const { top, unpacked } = await pull(client, { ...image, labels }, tars, 'default');
    assert.deepEqual(unpacked, [], await logOf(cli));
    const [mount] = await client.prepare('c', top);
    // Another daemon, in whose environment the folder is not, goes on.
    await cli.kill();
    await cli.run('start', '--snapshotter', settings);
    await eventually('it answers', async () => (await client.mounts('c').catch(() => [])).length > 0);
    assert.ok((await largeIn(mount!.source, 'large1')).equals(await largeIn(at('layer1'), 'large1')));
    await cli.run('stop', '--force');
    await cli.run('check');
  });

  it('may be more than forty', async () => {
    const many = [];
    for (let number = 100; number < 142; number++) {
      const folder = at(`many${number}`);
      await mkdir(folder);
      await writeFile(path.join(folder, `file${number}`), randomBytes(100_000));
      await run('tar', ['-C', folder, '-cf', `${folder}.tar`, '.']);
      many.push(await readFile(`${folder}.tar`));
    }
    const deep = await pushOrdinary(host, 'shop/deep:1', many);
    assert.equal((await pull(clients[0]!, deep, many, 'deep')).unpacked.length, many.length);
    await maker!.run('push', '--oci', `oci://${host}/shop/deep:1`);
    const client = clients[1]!;
    const { top, unpacked } = await pull(client, deep, many, 'deep');
    assert.deepEqual(unpacked, []);
    const [mount] = await client.prepare('deep', top);
    for (const number of [100, 120, 141])
      assert.ok(
        (await largeIn(mount!.source, `file${number}`)).equals(
          await largeIn(at(`many${number}`), `file${number}`),
        ),
      );
  });

  it('are asked for of no registry unless the snapshotter was told to', async () => {
    const [cli, client] = await cliOf('off', '');
    assert.deepEqual((await pull(client, image, tars, 'default')).unpacked, [0, 1, 2]);
    assert.doesNotMatch(await logOf(cli), /"event":"lazy"/);
    await cli.run('stop', '--force');
    const [other, named] = await cliOf('hosts', ',lazy=registry.example.org+localhost:5000');
    assert.deepEqual((await pull(named, image, tars, 'default')).unpacked, [0, 1, 2]);
    assert.doesNotMatch(await logOf(other), /"event":"lazy"/);
    await other.run('stop', '--force');
  });

  it('leave sound pools', async () => {
    for (const cli of [maker!, user!]) {
      await cli.run('stop', '--force');
      await cli.run('check');
    }
  });
});

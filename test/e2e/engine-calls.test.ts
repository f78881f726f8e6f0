import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { STATUS } from '../../src/containerd/status.js';
import { Cli } from '../support/cli.js';
import { requireMounts, useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';
import type { MountMessage } from '../../src/containerd/messages.js';

const REF = 'containerd.io/snapshot.ref';
const CRI = 'containerd.io/snapshot/cri.';

const digest = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const failure = (code: number) => (error: unknown) => (error as { code?: number }).code === code;

/**
 * What reaches a snapshotter from engines that Debian 12 does not have, call by call: containerd's metadata
 * puts namespace and number in front of keys, and lets only labels through that snapshots inherit
 * (core/metadata/snapshot.go). Between the calls, this writes where the engine would.
 */
describe('end to end: the calls of newer engines', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4']);
  const scratch = useScratch();
  let cli: Cli;
  let client: SnapshotClient;
  let number = 0;

  before('a pool with a snapshotter', async () => {
    cli = new Cli(scratch.current, 'pool');
    await cli.run('init', '--base-size', '512M', '--data-size', '4G');
    await cli.run('start', '--snapshotter');
    client = new SnapshotClient(path.join(cli.root, 'snapshotter.sock'));
  });
  after(() => client.close());

  const key = (namespace: string, name: string): string => `${namespace}/${++number}/${name}`;

  function rootOf(mounts: readonly MountMessage[], how: 'rw' | 'ro'): string {
    const [mount, ...others] = mounts;
    assert.deepEqual([mount?.type, mount?.options, others], ['bind', ['rbind', how], []]);
    return mount?.source ?? '';
  }

  /** containerd's unpacker (core/unpack/unpacker.go), in 2.x also behind the transfer service. */
  async function unpack(
    namespace: string,
    { chain, parent }: { readonly chain: string; readonly parent: string },
    labels: Record<string, string> = {},
  ): Promise<string> {
    const extract = key(namespace, `extract-${number}-Ab_- ${chain}`);
    const given = { ...labels, [REF]: chain };
    const root = rootOf(await client.prepare(extract, parent, given), 'rw');
    await mkdir(path.join(root, 'layers'), { recursive: true });
    await writeFile(path.join(root, 'layers', chain.slice(-8)), chain);
    const committed = key(namespace, chain);
    await client.commit(committed, extract, given);
    return committed;
  }

  /** rootfs.CreateDiff: what an active snapshot has that its parent has not. */
  async function diff(namespace: string, active: string): Promise<{ lower: string; upper: string }> {
    const { parent } = await client.stat(active);
    const view = key(namespace, `${path.basename(parent)}-parent-view-1-Ab_-`);
    const lower = rootOf(await client.view(view, parent), 'ro');
    const upper = rootOf(await client.mounts(active), 'rw');
    const said = {
      lower: await readFile(path.join(lower, 'etc/hosts'), 'utf8').catch(() => ''),
      upper: await readFile(path.join(upper, 'etc/hosts'), 'utf8').catch(() => ''),
    };
    await client.remove(view);
    return said;
  }

  it('dockerd 25 to 29: an init layer and a writable one for a container, its size, commit and removal', async () => {
    const chain = digest('docker');
    const image = await unpack('moby', { chain, parent: '' });
    const id = 'f'.repeat(64);
    const [init, initKey, rw] = [key('moby', `${id}-init`), key('moby', `${id}-init-key`), key('moby', id)];
    const made = rootOf(await client.prepare(initKey, image), 'rw');
    await mkdir(path.join(made, 'etc'));
    await writeFile(path.join(made, 'etc/hosts'), '');
    await client.commit(init, initKey);
    await client.prepare(rw, init);
    // The container is started, stopped and started again: each mounts once.
    for (let round = 0; round < 2; round++)
      await writeFile(path.join(rootOf(await client.mounts(rw), 'rw'), 'etc/hosts'), `round ${round}`);
    // docker ps --size: its own, then all below it.
    for (let next = rw; next !== ''; next = (await client.stat(next)).parent)
      assert(Number((await client.usage(next)).size) >= 0);
    assert.deepEqual(await diff('moby', rw), { lower: '', upper: 'round 1' });
    // docker commit puts the difference on the image, not on the init layer.
    const committed = await unpack('moby', { chain: digest('docker commit'), parent: image });
    // The collector, children first.
    for (const each of [rw, init, committed, image]) await client.remove(each);
  });

  it('containerd 2.x: two layers through the transfer service, the same again, and one that is given up', async () => {
    const [first, second] = [digest('one'), digest('two')];
    const below = await unpack('default', { chain: first, parent: '' });
    const above = await unpack('default', { chain: second, parent: below });
    // A second pull of them, in another namespace: it is told to look, and looks with these filters.
    for (const [chain, parent, expected] of [
      [first, '', below],
      [second, below, above],
    ] as const) {
      const asked = client.prepare(key('other', `extract-1-Ab_- ${chain}`), parent, { [REF]: chain });
      await assert.rejects(asked, failure(STATUS.ALREADY_EXISTS));
      const found = await client.list(`labels."${REF}"==${chain},parent==${JSON.stringify(parent)}`);
      assert.deepEqual(
        found.map(({ name, kind }) => [name, kind]),
        [[expected, 'COMMITTED']],
      );
    }
    // A download that fails: what was prepared for it goes.
    const given = key('default', `extract-2-Ab_- ${digest('three')}`);
    await client.prepare(given, above, { [REF]: digest('three') });
    await client.remove(given);
    // Two unpack the same, and the second finds the name taken.
    const late = key('default', 'extract-3-Ab_- late');
    await client.prepare(late, above);
    await assert.rejects(client.commit(above, late), failure(STATUS.ALREADY_EXISTS));
    for (const each of [late, above, below]) await client.remove(each);
  });

  it('containerd 2.2 with capabilities = ["rebase"]: a commit under another parent is refused, and changes nothing', async () => {
    const active = key('default', 'extract-4-Ab_- rebase');
    await client.prepare(active);
    const text = (field: number, value: string): Buffer =>
      Buffer.concat([Buffer.from([field * 8 + 2, value.length]), Buffer.from(value)]);
    const request = Buffer.concat([
      text(1, 'thinfuse'),
      text(2, 'default/1/name'),
      text(3, active),
      text(5, 'default/1/parent'),
    ]);
    await assert.rejects(client.raw('Commit', request), failure(STATUS.INVALID_ARGUMENT));
    assert.equal((await client.stat(active)).kind, 'ACTIVE');
    await client.remove(active);
  });

  it('the CRI: a pulled image with its labels, a sandbox and a container, statistics, labels that change', async () => {
    const chain = digest('cri');
    const labels = {
      [`${CRI}image-ref`]: 'registry.example/app:1',
      [`${CRI}manifest-digest`]: digest('manifest'),
      [`${CRI}layer-digest`]: digest('layer'),
      [`${CRI}image-layers`]: [digest('layer'), digest('next')].join(','),
    };
    const image = await unpack('k8s.io', { chain, parent: '' }, labels);
    assert.equal((await client.stat(image)).labels[`${CRI}image-ref`], 'registry.example/app:1');
    const [sandbox, container] = [key('k8s.io', 'a'.repeat(64)), key('k8s.io', 'b'.repeat(64))];
    await client.prepare(sandbox, image);
    const root = rootOf(await client.prepare(container, image), 'rw');
    await writeFile(path.join(root, 'grown'), Buffer.alloc(3_000_000, 1), { flush: true });
    // Its snapshots syncer, every ten seconds: all that there are, each with its usage.
    const sizes = new Map<string, number>();
    for (const { name } of await client.list()) sizes.set(name, Number((await client.usage(name)).size));
    assert((sizes.get(container) ?? 0) >= 3_000_000, `${sizes.get(container)}`);
    assert((sizes.get(sandbox) ?? 0) < 3_000_000);
    const pinned = { name: image, labels: { [`${CRI}image-ref`]: 'registry.example/app:2' } };
    const { labels: changed } = await client.update(pinned, [`labels.${CRI}image-ref`]);
    assert.deepEqual(changed, { ...labels, [REF]: chain, [`${CRI}image-ref`]: 'registry.example/app:2' });
    for (const each of [container, sandbox, image]) await client.remove(each);
  });

  it('nerdctl commit: the difference of a container becomes a layer on its image, and the next container has it', async () => {
    const image = await unpack('default', { chain: digest('nerdctl'), parent: '' });
    const container = key('default', 'c'.repeat(64));
    const root = rootOf(await client.prepare(container, image), 'rw');
    await mkdir(path.join(root, 'etc'));
    await writeFile(path.join(root, 'etc/hosts'), 'of the container');
    const { upper } = await diff('default', container);
    const chain = digest('nerdctl commit');
    const apply = key('default', `extract-5-Ab_- ${chain}`);
    const applied = rootOf(await client.prepare(apply, image), 'rw');
    await mkdir(path.join(applied, 'etc'));
    await writeFile(path.join(applied, 'etc/hosts'), upper);
    const committed = key('default', chain);
    await client.commit(committed, apply);
    const next = key('default', 'd'.repeat(64));
    const seen = rootOf(await client.prepare(next, committed), 'rw');
    assert.equal(await readFile(path.join(seen, 'etc/hosts'), 'utf8'), 'of the container');
    for (const each of [next, committed, container, image]) await client.remove(each);
  });

  it('BuildKit: steps on steps, a step that is run again from the middle, a view for COPY --from', async () => {
    const ref = (name: string): string => key('buildkit', name);
    const steps: string[] = [];
    for (const name of ['base', 'run', 'copy']) {
      const [active, committed] = [ref(`${name}-active`), ref(`${name}-snapshot`)];
      const root = rootOf(await client.prepare(active, steps.at(-1) ?? ''), 'rw');
      assert.equal(rootOf(await client.mounts(active), 'rw'), root);
      await writeFile(path.join(root, name), name);
      await client.commit(committed, active);
      steps.push(committed);
    }
    const [base = '', run = '', copy = ''] = steps;
    const again = ref('run-again');
    const root = rootOf(await client.prepare(again, base), 'rw');
    await rm(path.join(root, 'base'));
    const view = ref('copy-from');
    const seen = rootOf(await client.view(view, copy), 'ro');
    assert.equal(await readFile(path.join(seen, 'base'), 'utf8'), 'base');
    await assert.rejects(writeFile(path.join(seen, 'base'), ''), { code: 'EROFS' });
    // A step that others stand on stays.
    await assert.rejects(client.remove(run), failure(STATUS.FAILED_PRECONDITION));
    assert.equal((await client.list(`parent==${JSON.stringify(base)}`)).length, 2);
    for (const each of [view, again, copy, run, base]) await client.remove(each);
  });

  it('Kata: a label that asks for a loop device, and one of a newer thinfuse', async () => {
    const kata = key('k8s.io', 'kata');
    const [mount] = await client.prepare(kata, '', { 'containerd.io/snapshot/thinfuse.mounts': 'loop' });
    assert.match(mount?.source ?? '', /^\/dev\/loop\d+$/);
    const later = { 'containerd.io/snapshot/thinfuse.of-tomorrow': 'yes' };
    await assert.rejects(client.prepare(key('k8s.io', 'x'), '', later), failure(STATUS.INVALID_ARGUMENT));
    await client.remove(kata);
  });

  it('leaves nothing, and a pool that is whole', async () => {
    assert.deepEqual(await client.list(), []);
    await client.cleanup();
    await cli.run('stop');
    await cli.run('check');
  });
});

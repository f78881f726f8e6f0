import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { deviceSize } from '../../src/legacy/device-size.js';
import { readDockerGraph } from '../../src/legacy/docker-graph.js';
import type { LegacyDevice, LegacyPool } from '../../src/legacy/legacy-pool.js';
import {
  importNames,
  missingDevices,
  nameDevices,
  type NamedDevice,
} from '../../src/legacy/named-devices.js';
import { devicesOf, findDevice, type OldSource } from '../../src/legacy/old-source.js';
import { findDockerPaths } from '../../src/legacy/pool-paths.js';
import { useScratch } from '../support/mounts.js';
import { writeDockerFiles, type OldLayer } from '../support/old-pool.js';

const hex = (digit: string): string => digit.repeat(64);
const debian: OldLayer = {
  cacheId: hex('a'),
  deviceId: 2,
  diffId: `sha256:${hex('1')}`,
  tags: ['debian:12', 'me/debian:12'],
};
const nginx: OldLayer = {
  cacheId: hex('b'),
  deviceId: 3,
  diffId: `sha256:${hex('2')}`,
  tags: ['nginx:1'],
  parent: debian,
};
const web = { id: hex('c'), name: 'web1', mountId: hex('d'), deviceId: 5, initDeviceId: 4, image: nginx };

/** Only names are looked at. */
function sourceOf(devices: readonly NamedDevice[]): OldSource {
  const pool = { devices: devices.map(({ device }) => device) } as unknown as LegacyPool;
  const only = { path: 'old', pool, data: undefined, docker: [], devices, knowsOrigins: true };
  return { path: 'old', pools: [only], volumes: [], broken: [] };
}

describe('legacy: what Docker called its devices', () => {
  const scratch = useScratch();
  let docker: string;
  const problems: string[] = [];

  beforeEach(async () => {
    docker = await scratch.current.folder('docker');
    await writeDockerFiles(docker, 1000, [debian, nginx], [web]);
    problems.length = 0;
  });

  const read = (): ReturnType<typeof readDockerGraph> =>
    readDockerGraph({ docker, graph: path.join(docker, 'devicemapper') }, (text) => problems.push(text));
  const devices: readonly LegacyDevice[] = [1, 2, 3, 4, 5, 6].map((id) => ({
    id,
    details: undefined,
    tree: undefined,
  }));

  it('finds layers, images, containers and their parents', async () => {
    const found = (await read()).map(({ id, role, names, parent }) => [id, role, names, parent]);
    assert.deepEqual(
      found.sort(([a], [b]) => Number(a) - Number(b)),
      [
        [1, 'base', [], undefined],
        [2, 'layer', ['debian:12', 'me/debian:12'], 'base'],
        [3, 'layer', ['nginx:1'], hex('a')],
        [4, 'init', [], hex('b')],
        [5, 'container', ['web1', hex('c')], `${hex('d')}-init`],
      ],
    );
    assert.deepEqual(problems, []);
  });

  it('finds a device by number, name, reference, id or the beginning of one', async () => {
    const named = nameDevices(devices, await read());
    const id = (wanted: string): number => findDevice(sourceOf(named), wanted).number;
    assert.deepEqual(
      [
        '5',
        'web1',
        hex('c'),
        hex('c').slice(0, 12),
        hex('d'),
        'debian:12',
        'me/debian:12',
        'nginx:1',
        'base',
        'thin-6',
        `${hex('d')}-init`,
      ].map(id),
      [5, 5, 5, 5, 5, 2, 2, 3, 1, 6, 4],
    );
    assert.throws(() => id('nobody'), { code: 'not-found', message: /thinfuse legacy ls/ });
    assert.throws(() => id('dddddd'), { code: 'invalid-argument', message: /4 or 5/ });
    assert.throws(() => id('cc'), { code: 'not-found' });
    assert.throws(() => id(''), { code: 'not-found' });
  });

  it('gives every device a name that a pool takes', async () => {
    const named = nameDevices(devices, await read());
    const names = importNames(devicesOf(sourceOf(named)), { prefix: 'old-', taken: new Set(['old-web1']) });
    assert.deepEqual(
      [...names.values()],
      [
        'old-docker-base',
        'old-debian:12',
        'old-nginx:1',
        'old-dddddddddddd-init',
        'old-web1-5',
        'old-thin-6',
      ],
    );
    const awkward = devicesOf(sourceOf(named)).map((one) => ({ ...one, label: 'reg.example/a b' }));
    assert.deepEqual(new Set(importNames(awkward, { taken: new Set() }).values()).size, awkward.length);
  });

  it('names a device that two files claim by the one whose transaction made it', async () => {
    const folder = path.join(docker, 'devicemapper/metadata');
    const claim = (name: string, transaction: number): Promise<void> =>
      writeFile(
        path.join(folder, name),
        `{"device_id":2,"size":1048576,"transaction_id":${transaction},"initialized":false,"deleted":false}`,
      );
    const details = { mappedBlocks: 0n, transactionId: 6n, creationTime: 0, snapTime: 0 };
    const labelled = async (first: number, second: number): Promise<string> => {
      await claim(hex('a'), first);
      await claim(hex('e'), second);
      const [named] = nameDevices([{ id: 2, details, tree: undefined }], await read());
      return named!.label;
    };
    // Docker opens transaction 7, has the kernel make the device in a pool at 6, and closes 7.
    assert.equal(await labelled(7, 6), 'debian:12');
    assert.equal(await labelled(7, 9), 'debian:12');
    assert.equal(await labelled(6, 9), 'debian:12');
    assert.equal(await labelled(6, 7), hex('e').slice(0, 12));
    assert.equal(await labelled(7, 7), 'thin-2');
    assert.equal(await labelled(1, 2), 'thin-2');
    assert.match(problems[0]!, /both claim device 2/);
  });

  it('does without what is missing or not understood, and says so', async () => {
    await writeFile(path.join(docker, 'devicemapper/metadata', hex('a')), '{"device_id":"two"}');
    await writeFile(path.join(docker, 'image/devicemapper/repositories.json'), 'not JSON');
    await rm(path.join(docker, 'containers'), { recursive: true });
    const found = await read();
    assert.equal(problems.length, 2);
    assert.deepEqual(found.find(({ hash }) => hash === hex('d'))?.names, [hex('c')]);
    assert.deepEqual(
      missingDevices(devices, found).map(({ hash }) => hash),
      [hex('a')],
    );
    await rm(path.join(docker, 'image'), { recursive: true });
    assert.equal((await read()).length, 4);
  });

  it('finds the pool from the folder above, the graph folder and the one below', async () => {
    const graph = path.join(docker, 'devicemapper');
    await assert.rejects(findDockerPaths(scratch.current.root), { code: 'not-found' });
    assert.equal((await findDockerPaths(graph)).metadata, undefined, 'direct-lvm');
    const inner = path.join(graph, 'devicemapper');
    await mkdir(inner);
    for (const name of ['data', 'metadata']) await writeFile(path.join(inner, name), '');
    for (const given of [docker, graph, inner])
      assert.deepEqual(await findDockerPaths(given), {
        graph,
        docker,
        metadata: path.join(inner, 'metadata'),
        data: path.join(inner, 'data'),
      });
    await assert.rejects(findDockerPaths(path.join(inner, 'data')), {
      code: 'not-found',
      message: /not a folder/,
    });
  });
});

describe('legacy: the size of a device', () => {
  const clues = {
    asked: undefined,
    recorded: undefined,
    filesystem: undefined,
    lastBlock: undefined,
    blockSize: 65536,
  };

  it('is what is known, and at least what must be there', () => {
    assert.equal(deviceSize('d', { ...clues, lastBlock: 9 }), 655360);
    assert.equal(deviceSize('d', { ...clues, lastBlock: 9, recorded: 2 ** 20 }), 2 ** 20);
    assert.equal(
      deviceSize('d', { ...clues, lastBlock: 9, filesystem: 2 ** 21, recorded: 2 ** 20 }),
      2 ** 21,
    );
    assert.equal(
      deviceSize('d', { ...clues, lastBlock: 9, recorded: 600_064 }),
      600_064,
      'ends inside its last block',
    );
    assert.equal(deviceSize('d', { ...clues, lastBlock: 9, recorded: 512 }), 9 * 65536 + 512);
    assert.equal(deviceSize('d', { ...clues, lastBlock: 9, asked: 2 ** 20, filesystem: 2 ** 30 }), 2 ** 20);
    assert.throws(() => deviceSize('d', { ...clues, lastBlock: 9, asked: 512 }), {
      code: 'invalid-argument',
    });
    assert.throws(() => deviceSize('d', clues), { code: 'invalid-argument', message: /--size/ });
  });
});

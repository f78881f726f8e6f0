import { createHash } from 'node:crypto';
import { mkdir, open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from './mounts.js';

const CUTTER = path.resolve(import.meta.dirname, '../../scripts/cut-pool.js');

export interface OldDevice {
  readonly id: number;
  /** A file with what the device holds. */
  readonly image: string;
  readonly origin?: number;
  readonly creationTime: number;
  readonly snapTime: number;
  readonly transaction: number;
}

export interface OldPool {
  readonly metadata: string;
  readonly data: string;
}

/**
 * The pool that dm-thin would have left with these devices: blocks scattered in `folder`/data, and metadata
 * by thin_restore.
 */
export async function makeOldPool(
  folder: string,
  devices: readonly OldDevice[],
  options: { readonly blockSize?: number; readonly dataBlocks?: number } = {},
): Promise<OldPool> {
  await mkdir(folder, { recursive: true });
  const pool = { metadata: path.join(folder, 'metadata'), data: path.join(folder, 'data') };
  const xml = path.join(folder, 'pool.xml');
  const description = {
    data: pool.data,
    xml,
    blockSize: options.blockSize ?? 65536,
    dataBlocks: options.dataBlocks ?? 16384,
    time: Math.max(...devices.map(({ snapTime }) => snapTime)),
    transaction: devices.length,
    devices,
  };
  await run(process.execPath, [CUTTER], { input: JSON.stringify(description) });
  await restoreMetadata(xml, pool.metadata);
  return pool;
}

/** thin_restore, into a file of `bytes`. */
export async function restoreMetadata(xml: string, metadata: string, bytes = 16 * 2 ** 20): Promise<void> {
  const handle = await open(metadata, 'w');
  await handle.truncate(bytes);
  await handle.close();
  await run('thin_restore', ['-i', xml, '-o', metadata]);
}

export interface OldLayer {
  readonly cacheId: string;
  readonly deviceId: number;
  readonly parent?: OldLayer;
  readonly diffId: string;
  /** Image references whose topmost layer it is. */
  readonly tags?: readonly string[];
}

export interface OldContainer {
  readonly id: string;
  readonly name: string;
  readonly mountId: string;
  readonly deviceId: number;
  readonly initDeviceId: number;
  readonly image: OldLayer;
}

/** The files that Docker kept beside the pool: /var/lib/docker as far as names need it. */
export async function writeDockerFiles(
  docker: string,
  size: number,
  layers: readonly OldLayer[],
  containers: readonly OldContainer[],
): Promise<void> {
  const metadata = path.join(docker, 'devicemapper/metadata');
  const store = path.join(docker, 'image/devicemapper');
  await mkdir(metadata, { recursive: true });
  const device = (name: string, id: number): Promise<void> =>
    writeFile(
      path.join(metadata, name),
      JSON.stringify({
        device_id: id,
        size,
        transaction_id: id,
        initialized: name === 'base',
        deleted: false,
      }),
    );
  await device('base', 1);
  await writeFile(
    path.join(metadata, 'deviceset-metadata'),
    JSON.stringify({ next_device_id: 9, BaseDeviceUUID: '', BaseDeviceFilesystem: 'xfs' }),
  );
  await writeFile(
    path.join(metadata, 'transaction-metadata'),
    JSON.stringify({ open_transaction_id: 9, device_hash: '', device_id: 9 }),
  );
  const repositories: Record<string, Record<string, string>> = {};
  for (const layer of layers) {
    await device(layer.cacheId, layer.deviceId);
    const folder = path.join(store, 'layerdb/sha256', digestOf(chainId(layer)));
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'cache-id'), layer.cacheId);
    await writeFile(path.join(folder, 'diff'), layer.diffId);
    if (layer.parent !== undefined) await writeFile(path.join(folder, 'parent'), chainId(layer.parent));
    for (const tag of layer.tags ?? []) {
      const config = JSON.stringify({ rootfs: { type: 'layers', diff_ids: diffIds(layer) } });
      const digest = sha256(config);
      await mkdir(path.join(store, 'imagedb/content/sha256'), { recursive: true });
      await writeFile(path.join(store, 'imagedb/content/sha256', digest), config);
      (repositories[tag.split(':')[0] ?? tag] ??= {})[tag] = `sha256:${digest}`;
    }
  }
  await writeFile(path.join(store, 'repositories.json'), JSON.stringify({ Repositories: repositories }));
  for (const container of containers) {
    await device(container.mountId, container.deviceId);
    await device(`${container.mountId}-init`, container.initDeviceId);
    const folder = path.join(store, 'layerdb/mounts', container.id);
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'mount-id'), container.mountId);
    await writeFile(path.join(folder, 'init-id'), `${container.mountId}-init`);
    await writeFile(path.join(folder, 'parent'), chainId(container.image));
    const config = path.join(docker, 'containers', container.id);
    await mkdir(config, { recursive: true });
    await writeFile(
      path.join(config, 'config.v2.json'),
      JSON.stringify({ ID: container.id, Name: `/${container.name}` }),
    );
  }
}

function diffIds(layer: OldLayer): string[] {
  return [...(layer.parent === undefined ? [] : diffIds(layer.parent)), layer.diffId];
}

function chainId(layer: OldLayer): string {
  if (layer.parent === undefined) return layer.diffId;
  return `sha256:${sha256(`${chainId(layer.parent)} ${layer.diffId}`)}`;
}

function digestOf(id: string): string {
  return id.replace('sha256:', '');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

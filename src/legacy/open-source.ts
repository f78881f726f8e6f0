import { stat } from 'node:fs/promises';
import { ThinError } from '../errors/thin-error.js';
import { DiskBlocks } from './disk-blocks.js';
import type { DiskReader } from './disk-reader.js';
import type { DockerDevice } from './docker-graph.js';
import type { ExportedPool } from './exported-pool.js';
import { deviceMapperHolders } from './in-use.js';
import { LegacyPool } from './legacy-pool.js';
import { readLvmGroups } from './lvm/lvm-groups.js';
import { volumesOf } from './lvm/lvm-source.js';
import { nameDevices, type ThinVolume } from './named-devices.js';
import type { OldPool, OldSource } from './old-source.js';
import { findDockerPaths, type DockerPaths } from './pool-paths.js';
import { SourceFile } from './source-file.js';
import type { PoolOverrides } from './superblock-overrides.js';

type Open = (file: string, what: string) => SourceFile;

/** Where an old pool is, and how it is read. */
export interface SourceRequest {
  /**
   * A folder of Docker's or of `export --format dm-thin`, disks of LVM (beside Docker's, too), or none beside
   * `metadata`.
   */
  readonly paths: readonly string[];
  readonly metadata: string | undefined;
  readonly data: string | undefined;
  /** Whether the reserved metadata snapshot of a running pool is read. */
  readonly heldRoot: boolean;
  /** Whether a lost superblock is replaced by the newest trees that fit each other. */
  readonly search: boolean;
  readonly overrides: PoolOverrides;
  /** Hears what does not keep the pool from being read. */
  readonly onNote: (text: string) => void;
}

/**
 * Opens an old pool while `work` reads it. Errors: not-found, invalid-argument, permission, damaged,
 * wrong-version, unsupported.
 */
export async function withOldSource<T>(
  request: SourceRequest,
  work: (source: OldSource) => Promise<T>,
): Promise<T> {
  const { paths } = request;
  const opened: SourceFile[] = [];
  const open: Open = (file, what) => {
    const source = new SourceFile(file, what);
    opened.push(source);
    return source;
  };
  try {
    const { folder, disks } = await tellApart(paths);
    const exported = folder === undefined || disks.length > 0 ? undefined : await exportedPool(folder);
    if (exported !== undefined) return await work(await fromExported(exported, request, open));
    const docker = folder === undefined ? undefined : await findDockerPaths(folder);
    return await work(
      disks.length > 0
        ? await fromDisks(disks, docker, request, open)
        : await fromFiles(docker, request, open),
    );
  } finally {
    for (const file of opened) file.close();
  }
}

/** Errors: invalid-argument. */
export function requireData({ data }: OldPool): DiskReader {
  if (data !== undefined) return data;
  throw new ThinError('invalid-argument', 'the metadata has no data; give --data, too');
}

/**
 * At most one folder, which is Docker's; everything else is a disk. A missing path counts as a folder, and
 * opening it fails.
 */
async function tellApart(
  paths: readonly string[],
): Promise<{ readonly folder: string | undefined; readonly disks: readonly string[] }> {
  const folders: string[] = [];
  const disks: string[] = [];
  for (const one of paths) {
    const found = await stat(one).catch(() => undefined);
    if (found?.isFile() === true || found?.isBlockDevice() === true) disks.push(one);
    else folders.push(one);
  }
  if (folders.length > 1)
    throw new ThinError(
      'invalid-argument',
      `${folders.join(' and ')} are not disks; give disks of LVM, and at most one folder of Docker's`,
    );
  return { folder: folders[0], disks };
}

async function fromDisks(
  files: readonly string[],
  docker: DockerPaths | undefined,
  request: SourceRequest,
  open: Open,
): Promise<OldSource> {
  const { heldRoot, search, overrides, onNote } = request;
  if (request.metadata !== undefined || request.data !== undefined)
    throw new ThinError(
      'invalid-argument',
      `${files.join(', ')} is a disk, and --metadata and --data name a pool already; give one of the two`,
    );
  const { groups, problems } = readLvmGroups(files.map((file) => open(file, 'the disk')));
  for (const problem of problems) onNote(problem);
  const found = volumesOf(groups, {
    ...{ heldRoot, search, overrides },
    docker: await namesOf(docker, onNote),
  });
  for (const problem of found.problems) onNote(problem);
  for (const { path, error } of found.broken) onNote(`the pool ${path} cannot be opened: ${error.message}`);
  for (const file of files) await warnOfUse(file, request);
  return { path: files.join(' '), ...found };
}

/** What `export --format dm-thin` wrote, by the names that it had. */
async function fromExported(
  { metadata, data, volumes }: ExportedPool,
  request: SourceRequest,
  open: Open,
): Promise<OldSource> {
  const files = { metadata: request.metadata ?? metadata, data: request.data ?? data };
  return fromFiles(undefined, { ...request, ...files }, open, volumes);
}

async function fromFiles(
  docker: DockerPaths | undefined,
  request: SourceRequest,
  open: Open,
  volumes: readonly ThinVolume[] = [],
): Promise<OldSource> {
  const { paths, heldRoot, search, overrides, onNote } = request;
  const files = requireFiles(request, docker);
  const metadata = open(files.metadata, '--metadata');
  const data = files.data === undefined ? undefined : open(files.data, '--data');
  const pool = LegacyPool.open(new DiskBlocks(metadata), {
    ...{ heldRoot, search },
    overrides: { ...overrides, fallback: { dataBytes: data?.size } },
  });
  await warnOfUse(files.metadata, request);
  const names = await namesOf(docker, onNote);
  const path = paths[0] ?? files.metadata;
  const only: OldPool = {
    path,
    pool,
    data,
    docker: names,
    devices: nameDevices(pool.devices, names, volumes),
    knowsOrigins: docker !== undefined || volumes.length > 0,
  };
  return { path, pools: [only], volumes: [], broken: [] };
}

async function namesOf(
  docker: DockerPaths | undefined,
  onNote: SourceRequest['onNote'],
): Promise<readonly DockerDevice[]> {
  if (docker === undefined) return [];
  // Loaded for a folder only: the JSON in it takes longer to load a reader for than a pool to list.
  const { readDockerGraph } = await import('./docker-graph.js');
  return readDockerGraph(docker, onNote);
}

async function exportedPool(folder: string): Promise<ExportedPool | undefined> {
  const { readExportedPool } = await import('./exported-pool.js');
  return readExportedPool(folder);
}

function requireFiles(
  request: SourceRequest,
  paths: DockerPaths | undefined,
): { readonly metadata: string; readonly data: string | undefined } {
  const metadata = request.metadata ?? paths?.metadata;
  if (metadata === undefined)
    throw new ThinError(
      'invalid-argument',
      `the pool of ${paths?.graph ?? 'Docker'} was on block devices (direct-lvm); name its disk, too: thinfuse legacy ls DISK ${paths?.docker ?? ''}`,
    );
  const data = request.data ?? (request.metadata === undefined ? paths?.data : undefined);
  return { metadata, data };
}

/** What a running pool writes meanwhile makes a reader see half of it. */
async function warnOfUse(file: string, { heldRoot, onNote }: SourceRequest): Promise<void> {
  if (heldRoot) return;
  const holders = await deviceMapperHolders(file);
  if (holders.length > 0)
    onNote(
      `${file} is in use by ${holders.join(', ')}: a change during the read may be seen in part; stop the pool, or use --metadata-snap`,
    );
}

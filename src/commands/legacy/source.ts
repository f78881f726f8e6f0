import { stat } from 'node:fs/promises';
import { ThinError } from '../../errors/thin-error.js';
import type { DataReader } from '../../legacy/block-reader.js';
import { DiskBlocks } from '../../legacy/disk-reader.js';
import { readDockerGraph, type DockerDevice } from '../../legacy/docker-graph.js';
import { deviceMapperHolders } from '../../legacy/in-use.js';
import { LegacyPool } from '../../legacy/legacy-pool.js';
import { readLvmGroups } from '../../legacy/lvm/lvm-groups.js';
import { volumesOf } from '../../legacy/lvm/lvm-source.js';
import { nameDevices } from '../../legacy/named-devices.js';
import type { OldPool, OldSource } from '../../legacy/old-source.js';
import { findDockerPaths, type DockerPaths } from '../../legacy/pool-paths.js';
import { SourceFile } from '../../legacy/source-file.js';
import { note } from '../output.js';
import { overridesOf, type SourceFlags } from './flags.js';

type Open = (file: string, what: string) => SourceFile;

/**
 * Opens what `paths` name while `work` reads it: a folder of Docker's, disks of LVM, both, or neither beside
 * --metadata. Errors: not-found, invalid-argument, permission, damaged, wrong-version, unsupported.
 */
export async function withSourcePool<T>(
  paths: readonly string[],
  flags: SourceFlags,
  work: (source: OldSource) => Promise<T>,
): Promise<T> {
  const opened: SourceFile[] = [];
  const open: Open = (file, what) => {
    const source = new SourceFile(file, what);
    opened.push(source);
    return source;
  };
  try {
    const { folder, disks } = await tellApart(paths);
    const docker = folder === undefined ? undefined : await findDockerPaths(folder);
    return await work(
      disks.length > 0
        ? await fromDisks(disks, docker, flags, open)
        : await fromFiles(docker, paths[0], flags, open),
    );
  } finally {
    for (const file of opened) file.close();
  }
}

/** Errors: invalid-argument. */
export function requireData({ data }: OldPool): DataReader {
  if (data !== undefined) return data;
  throw new ThinError(
    'invalid-argument',
    'the metadata alone says where data is and not what; give --data, too',
  );
}

/**
 * At most one folder, which is Docker's; everything else is a disk. What is not there is left to whoever
 * opens it.
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
  flags: SourceFlags,
  open: Open,
): Promise<OldSource> {
  if (flags.metadata !== undefined || flags.data !== undefined)
    throw new ThinError(
      'invalid-argument',
      `${files.join(', ')} is a disk, and --metadata and --data name a pool already; give one of the two`,
    );
  const { groups, problems } = readLvmGroups(files.map((file) => open(file, 'the disk')));
  for (const problem of problems) note(problem);
  const found = volumesOf(groups, {
    snapshot: flags.metadataSnap === true,
    search: flags.search === true,
    docker: await namesOf(docker),
    overrides: overridesOf(flags),
  });
  for (const problem of found.problems) note(problem);
  for (const { path, error } of found.broken) note(`the pool ${path} cannot be opened: ${error.message}`);
  for (const file of files) await warnOfUse(file, flags);
  return { path: files.join(' '), ...found };
}

async function fromFiles(
  docker: DockerPaths | undefined,
  folder: string | undefined,
  flags: SourceFlags,
  open: Open,
): Promise<OldSource> {
  const files = requireFiles(flags, docker);
  const metadata = open(files.metadata, '--metadata');
  const data = files.data === undefined ? undefined : open(files.data, '--data');
  const pool = LegacyPool.open(new DiskBlocks(metadata), {
    snapshot: flags.metadataSnap === true,
    search: flags.search === true,
    overrides: { ...overridesOf(flags), fallback: { dataBytes: data?.size } },
  });
  await warnOfUse(files.metadata, flags);
  const names = await namesOf(docker);
  const path = folder ?? files.metadata;
  const only: OldPool = {
    path,
    pool,
    data,
    docker: names,
    devices: nameDevices(pool.devices, names),
    knowsOrigins: docker !== undefined,
  };
  return { path, pools: [only], volumes: [], broken: [] };
}

async function namesOf(docker: DockerPaths | undefined): Promise<readonly DockerDevice[]> {
  return docker === undefined ? [] : readDockerGraph(docker, note);
}

function requireFiles(
  flags: SourceFlags,
  paths: DockerPaths | undefined,
): { readonly metadata: string; readonly data: string | undefined } {
  const metadata = flags.metadata ?? paths?.metadata;
  if (metadata === undefined)
    throw new ThinError(
      'invalid-argument',
      `the pool of ${paths?.graph ?? 'Docker'} was on block devices (direct-lvm); name its disk, too: thinfuse legacy ls DISK ${paths?.docker ?? ''}`,
    );
  const data = flags.data ?? (flags.metadata === undefined ? paths?.data : undefined);
  return { metadata, data };
}

/** What a running pool writes meanwhile makes a reader see half of it. */
async function warnOfUse(file: string, { metadataSnap }: SourceFlags): Promise<void> {
  if (metadataSnap === true) return;
  const holders = await deviceMapperHolders(file);
  if (holders.length > 0)
    note(
      `${file} is in use by ${holders.join(', ')}: what changes while it is read may be seen half done; stop the pool, or use --metadata-snap`,
    );
}

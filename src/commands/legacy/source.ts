import { ThinError } from '../../errors/thin-error.js';
import { readDockerGraph, type DockerDevice } from '../../legacy/docker-graph.js';
import { deviceMapperHolders } from '../../legacy/in-use.js';
import { LegacyPool } from '../../legacy/legacy-pool.js';
import { nameDevices, type NamedDevice } from '../../legacy/named-devices.js';
import { findDockerPaths, type DockerPaths } from '../../legacy/pool-paths.js';
import { SourceFile } from '../../legacy/source-file.js';
import type { SourceFlags } from './flags.js';
import { note } from '../output.js';

/** An old pool, opened for reading. */
export interface LegacySource {
  /** How the user named it. */
  readonly path: string;
  readonly pool: LegacyPool;
  /** Undefined where only metadata was given. */
  readonly data: SourceFile | undefined;
  readonly docker: readonly DockerDevice[];
  readonly devices: readonly NamedDevice[];
}

/** Opens the old pool while `work` reads it. Errors: not-found, invalid-argument, permission, damaged, wrong-version. */
export async function withSourcePool<T>(
  path: string | undefined,
  flags: SourceFlags,
  work: (source: LegacySource) => Promise<T>,
): Promise<T> {
  const paths = path === undefined ? undefined : await findDockerPaths(path);
  const files = requireFiles(flags, paths);
  const opened: SourceFile[] = [];
  const open = (file: string, what: string): SourceFile => {
    const source = new SourceFile(file, what);
    opened.push(source);
    return source;
  };
  try {
    const metadata = open(files.metadata, '--metadata');
    const pool = LegacyPool.open(metadata, { snapshot: flags.metadataSnap === true });
    const data = files.data === undefined ? undefined : open(files.data, '--data');
    await warnOfUse(files.metadata, flags.metadataSnap === true);
    const docker = paths === undefined ? [] : await readDockerGraph(paths, note);
    return await work({
      path: path ?? files.metadata,
      pool,
      data,
      docker,
      devices: nameDevices(pool.devices, docker),
    });
  } finally {
    for (const file of opened) file.close();
  }
}

/** Errors: invalid-argument. */
export function requireData({ data }: LegacySource): SourceFile {
  if (data !== undefined) return data;
  throw new ThinError(
    'invalid-argument',
    'the metadata alone says where data is and not what; give --data, too',
  );
}

function requireFiles(
  flags: SourceFlags,
  paths: DockerPaths | undefined,
): { readonly metadata: string; readonly data: string | undefined } {
  const metadata = flags.metadata ?? paths?.metadata;
  if (metadata === undefined)
    throw new ThinError(
      'invalid-argument',
      `the pool of ${paths?.graph ?? 'Docker'} was on block devices (direct-lvm); name them, too: --metadata /dev/VG/POOL_tmeta --data /dev/VG/POOL_tdata`,
    );
  const data = flags.data ?? (flags.metadata === undefined ? paths?.data : undefined);
  return { metadata, data };
}

/** What a running pool writes meanwhile makes a reader see half of it. */
async function warnOfUse(metadata: string, snapshot: boolean): Promise<void> {
  if (snapshot) return;
  const holders = await deviceMapperHolders(metadata);
  if (holders.length > 0)
    note(
      `${metadata} is in use by ${holders.join(', ')}: what changes while it is read may be seen half done; stop the pool, or use --metadata-snap`,
    );
}

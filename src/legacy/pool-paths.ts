import { stat } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';

/** Where the parts of an old Docker pool lie. */
export interface DockerPaths {
  /** /var/lib/docker/devicemapper. */
  readonly graph: string;
  /** /var/lib/docker. */
  readonly docker: string;
  /** The loop files; undefined where Docker was given block devices (direct-lvm). */
  readonly metadata: string | undefined;
  readonly data: string | undefined;
}

/**
 * Takes /var/lib/docker, the devicemapper folder in it, or the one with the loop files in that.
 * Errors: not-found (nothing there, or nothing of Docker's devicemapper).
 */
export async function findDockerPaths(given: string): Promise<DockerPaths> {
  const top = path.resolve(given);
  if (!(await isFolder(top)))
    throw new ThinError(
      'not-found',
      `${top} is not a folder; give a /var/lib/docker/devicemapper, or --metadata and --data`,
      { details: { path: top } },
    );
  const graphs = [path.join(top, 'devicemapper'), top, path.dirname(top)];
  for (const graph of graphs)
    if (await isFolder(path.join(graph, 'devicemapper'))) {
      const metadata = path.join(graph, 'devicemapper/metadata');
      const data = path.join(graph, 'devicemapper/data');
      if ((await isThere(metadata)) && (await isThere(data)))
        return { graph, docker: path.dirname(graph), metadata, data };
    }
  for (const graph of graphs)
    if (await isThere(path.join(graph, 'metadata/deviceset-metadata')))
      return { graph, docker: path.dirname(graph), metadata: undefined, data: undefined };
  throw new ThinError(
    'not-found',
    `${top} has no pool of Docker's devicemapper driver (devicemapper/data and devicemapper/metadata); give its folder, or --metadata and --data`,
    { details: { path: top } },
  );
}

async function isFolder(where: string): Promise<boolean> {
  return stat(where).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** A file, or a block device behind a link. */
async function isThere(where: string): Promise<boolean> {
  return stat(where).then(
    (found) => !found.isDirectory(),
    () => false,
  );
}

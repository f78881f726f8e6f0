import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';

/** What Docker calls a device. */
export interface DockerDevice {
  /** The device's own name in the graph driver: a layer's cache id, a container's mount id, `base`. */
  readonly hash: string;
  /** 'init' lies between an image and each of its containers. */
  readonly role: 'base' | 'layer' | 'container' | 'init';
  /** Image references (`debian:12`), or the container's name; none without a name. */
  readonly names: readonly string[];
  /** The hash of the device that it is a snapshot of. */
  readonly parent: string | undefined;
  /** From metadata/HASH; undefined where that is missing. */
  readonly id: number | undefined;
  readonly size: number | undefined;
  readonly transactionId: number | undefined;
}

const BASE = 'base';
/** Files of metadata/ that stand for no device. */
const OTHER_FILES = new Set(['deviceset-metadata', 'transaction-metadata']);
const HASH = /^[0-9A-Za-z][0-9A-Za-z_.-]*$/;

const deviceFile = z.object({
  device_id: z.number().int().nonnegative(),
  size: z.number().int().nonnegative(),
  transaction_id: z.number().int().nonnegative(),
});
const repositoriesFile = z.object({ Repositories: z.record(z.string(), z.record(z.string(), z.string())) });
const imageFile = z.object({ rootfs: z.object({ diff_ids: z.array(z.string()) }) });
const containerFile = z.object({ Name: z.string() });

/**
 * Names by the device they stand for. What cannot be read is left out, and said to `onProblem`: names are a
 * help, not the data.
 */
export async function readDockerGraph(
  folders: { readonly graph: string; readonly docker: string },
  onProblem: (text: string) => void,
): Promise<readonly DockerDevice[]> {
  const devices = await readDeviceFiles(path.join(folders.graph, 'metadata'), onProblem);
  const layers = await readLayers(path.join(folders.docker, 'image/devicemapper'), onProblem);
  const containers = await readContainers(folders.docker, layers, onProblem);
  const known = new Map([...layers.values(), ...containers].map((named) => [named.hash, named]));
  const hashes = new Set([...devices.keys(), ...known.keys()]);
  return [...hashes].map((hash) => {
    const named = known.get(hash);
    const file = devices.get(hash);
    return {
      hash,
      role: hash === BASE ? 'base' : (named?.role ?? 'layer'),
      names: named?.names ?? [],
      parent: hash === BASE ? undefined : (named?.parent ?? BASE),
      id: file?.device_id,
      size: file?.size,
      transactionId: file?.transaction_id,
    };
  });
}

interface Named {
  readonly hash: string;
  readonly role: 'layer' | 'container' | 'init';
  readonly names: readonly string[];
  readonly parent: string | undefined;
}

type Report = (text: string) => void;

async function readDeviceFiles(
  folder: string,
  report: Report,
): Promise<Map<string, z.infer<typeof deviceFile>>> {
  const found = new Map<string, z.infer<typeof deviceFile>>();
  const claimed = new Map<number, string>();
  for (const name of await namesIn(folder)) {
    if (OTHER_FILES.has(name) || !HASH.test(name)) continue;
    const device = await readJson(path.join(folder, name), deviceFile, report);
    if (device === undefined) continue;
    const other = claimed.get(device.device_id);
    if (other !== undefined)
      report(`${other} and ${name} in ${folder} both claim device ${device.device_id}`);
    claimed.set(device.device_id, name);
    found.set(name, device);
  }
  return found;
}

/** By chain id (`layer/filestore.go`). */
async function readLayers(folder: string, report: Report): Promise<Map<string, Named>> {
  const store = path.join(folder, 'layerdb/sha256');
  const tags = await readTags(folder, report);
  const chains = new Map<string, { cache: string; parent: string | undefined }>();
  for (const digest of await namesIn(store)) {
    const cache = await readWord(path.join(store, digest, 'cache-id'));
    if (cache !== undefined)
      chains.set(`sha256:${digest}`, {
        cache,
        parent: await readWord(path.join(store, digest, 'parent'), ANY),
      });
    else report(`layer ${digest} has no cache-id in ${store}`);
  }
  return new Map(
    [...chains].map(([chain, { cache, parent }]) => [
      chain,
      {
        hash: cache,
        role: 'layer',
        names: tags.get(chain) ?? [],
        parent: parent === undefined ? undefined : chains.get(parent)?.cache,
      },
    ]),
  );
}

/** References by the chain id of their image's topmost layer. */
async function readTags(folder: string, report: Report): Promise<Map<string, string[]>> {
  const repositories = await readJson(path.join(folder, 'repositories.json'), repositoriesFile, report);
  const tags = new Map<string, string[]>();
  for (const references of Object.values(repositories?.Repositories ?? {}))
    for (const [reference, image] of Object.entries(references)) {
      const digest = /^sha256:([0-9a-f]+)$/.exec(image)?.[1];
      if (digest === undefined || reference.includes('@')) continue;
      const content = await readJson(path.join(folder, 'imagedb/content/sha256', digest), imageFile, report);
      const chain = chainId(content?.rootfs.diff_ids ?? []);
      if (chain !== undefined) tags.set(chain, [...(tags.get(chain) ?? []), reference]);
    }
  return tags;
}

/** The name of a stack of layers (OCI image spec, "Layer ChainID"). */
function chainId(diffIds: readonly string[]): string | undefined {
  const [first, ...rest] = diffIds;
  if (first === undefined) return undefined;
  return rest.reduce(
    (chain, diff) => `sha256:${createHash('sha256').update(`${chain} ${diff}`).digest('hex')}`,
    first,
  );
}

async function readContainers(
  docker: string,
  layers: ReadonlyMap<string, Named>,
  report: Report,
): Promise<Named[]> {
  const store = path.join(docker, 'image/devicemapper/layerdb/mounts');
  const found: Named[] = [];
  for (const id of await namesIn(store)) {
    const mount = await readWord(path.join(store, id, 'mount-id'));
    const init = await readWord(path.join(store, id, 'init-id'));
    const chain = await readWord(path.join(store, id, 'parent'), ANY);
    if (mount === undefined) {
      report(`container ${id} has no mount-id in ${store}`);
      continue;
    }
    const image = chain === undefined ? undefined : layers.get(chain)?.hash;
    const config = await readJson(
      path.join(docker, 'containers', id, 'config.v2.json'),
      containerFile,
      report,
    );
    const name = config?.Name.replace(/^\//, '');
    found.push({
      hash: mount,
      role: 'container',
      names: [...(name === undefined || name === '' ? [] : [name]), id],
      parent: init ?? image,
    });
    if (init !== undefined) found.push({ hash: init, role: 'init', names: [], parent: image });
  }
  return found;
}

const ANY = /^\S+$/;

/** A file of one word. */
async function readWord(file: string, pattern = HASH): Promise<string | undefined> {
  const word = (await readFile(file, 'utf8').catch(() => '')).trim();
  return pattern.test(word) ? word : undefined;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(() => [])).sort();
}

async function readJson<T>(file: string, shape: z.ZodType<T>, report: Report): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch {
    return undefined;
  }
  try {
    return shape.parse(JSON.parse(text));
  } catch {
    report(`${file} is not understood, so its devices have numbers in place of names`);
    return undefined;
  }
}

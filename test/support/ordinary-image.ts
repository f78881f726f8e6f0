import { createHash } from 'node:crypto';
import { chainIds } from '../../src/remote/layers-manifest.js';
import { OCI_MANIFEST } from '../../src/remote/oci-manifests.js';

/** An image as containerd knows it, in a registry on this host. */
export interface OrdinaryImage {
  /** Of its manifest, `sha256:…`. */
  readonly digest: string;
  /** Chain ids, the lowest first. */
  readonly chain: readonly string[];
  /** What the CRI says of a layer of it, beside the chain id. */
  readonly labels: Readonly<Record<string, string>>;
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** @param tars of the layers, the lowest first */
export async function pushOrdinary(
  host: string,
  name: string,
  tars: readonly Uint8Array[],
): Promise<OrdinaryImage> {
  const [repository = '', tag = ''] = name.split(':');
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
    }),
  );
  for (const blob of [config, ...tars]) await putBlob(host, repository, blob);
  const described = (mediaType: string, bytes: Uint8Array): object => ({
    mediaType,
    digest: sha256(bytes),
    size: bytes.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: described('application/vnd.oci.image.config.v1+json', config),
      layers: tars.map((tar) => described('application/vnd.oci.image.layer.v1.tar', tar)),
    }),
  );
  await put(`http://${host}/v2/${repository}/manifests/${tag}`, OCI_MANIFEST, manifest);
  return {
    digest: sha256(manifest),
    chain: chainIds(tars.map(sha256)),
    labels: {
      'containerd.io/snapshot/cri.image-ref': `${host}/${name}`,
      'containerd.io/snapshot/cri.manifest-digest': sha256(manifest),
      'containerd.io/snapshot/cri.image-layers': tars.map(sha256).join(','),
    },
  };
}

async function putBlob(host: string, repository: string, bytes: Uint8Array): Promise<void> {
  const begun = await fetch(`http://${host}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const location = new URL(begun.headers.get('location') ?? '', begun.url);
  location.searchParams.set('digest', sha256(bytes));
  await put(location.href, 'application/octet-stream', bytes);
}

async function put(url: string, type: string, bytes: Uint8Array): Promise<void> {
  const answer = await fetch(url, {
    method: 'PUT',
    headers: { 'content-type': type },
    body: Buffer.from(bytes),
  });
  if (answer.status !== 201) throw new Error(`${url} answers ${answer.status}: ${await answer.text()}`);
}

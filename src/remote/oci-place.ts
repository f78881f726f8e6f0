import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { loginFor } from './docker-credentials.js';
import { HttpClient } from './http-client.js';
import { MirroredSession } from './mirrored-session.js';
import { OciSession, type OciSessionOptions } from './oci-session.js';
import { OciStore } from './oci-store.js';
import { registryHosts, USUAL_HOSTS, type RegistryHost } from './registry-hosts.js';
import type { RemotePlace } from './remote-url.js';
import type { RetryLimits } from './retry.js';
import { certificates } from './s3-place.js';

/** Where Docker has the certificates of registries: a folder a host. */
const DOCKER_CERTIFICATES = '/etc/docker/certs.d';

/** How a registry is spoken to. `mirrors`: reads go to its mirrors first. */
export interface OciLimits {
  readonly retry: RetryLimits;
  readonly idleMs: number;
  readonly connections: number;
  readonly mirrors?: boolean;
}

/** Of a mirror, behind which another host comes: one try, and milliseconds without a byte. */
const MIRROR_RETRY: RetryLimits = { forMs: 0, firstMs: 0, mostMs: 0 };
const MIRROR_IDLE_MS = 3000;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The repository, with what `docker login` knows. Plain HTTP is spoken with this host and with those that
 * THINFUSE_OCI_PLAIN_HTTP names (with commas between them). Certificates: those that Docker and containerd
 * have for the host, and SSL_CERT_FILE. Mirrors: those of the folder that THINFUSE_OCI_HOSTS names. Errors:
 * not-found (a file with certificates), invalid-argument (hosts.toml).
 */
export async function ociAt(
  place: RemotePlace & { readonly kind: 'oci' },
  env: Environment,
  limits: OciLimits,
): Promise<OciStore> {
  const { host, url } = place;
  const plain = (env['THINFUSE_OCI_PLAIN_HTTP'] ?? '').split(',').includes(host);
  const scheme = plain || /^(localhost|127\.[0-9.]+|\[::1\])(:\d+)?$/.test(host) ? 'http' : 'https';
  const registry = new URL(`${scheme}://${host === 'docker.io' ? 'registry-1.docker.io' : host}/`);
  const folder = env['THINFUSE_OCI_HOSTS'] ?? '';
  const hosts =
    limits.mirrors === true && folder !== '' ? await registryHosts(folder, host, registry) : undefined;
  if (hosts === undefined) {
    const ca = await trusted(host, env);
    return new OciStore(
      url,
      sessionAt(place, env, { registry, http: new HttpClient({ ...limits, ca }), limits }),
    );
  }
  const mirrorLimits = { ...limits, retry: MIRROR_RETRY, idleMs: MIRROR_IDLE_MS };
  const mirrors = [];
  for (const mirror of hosts.mirrors)
    mirrors.push({
      session: sessionAt(place, env, {
        ...(await reachedAt(mirror, env, mirrorLimits)),
        limits: mirrorLimits,
        mirrorOf: mirror.api.host === registry.host ? undefined : host,
      }),
      host: mirror.api.host,
      capabilities: mirror.capabilities,
    });
  const own = sessionAt(place, env, { ...(await reachedAt(hosts.server, env, limits)), limits });
  return new OciStore(url, new MirroredSession(mirrors, own));
}

type Reached = Pick<OciSessionOptions, 'registry' | 'api' | 'headers' | 'http'>;

function sessionAt(
  { host, repository, url }: RemotePlace & { readonly kind: 'oci' },
  env: Environment,
  { limits, ...reached }: Reached & Pick<OciSessionOptions, 'mirrorOf'> & { readonly limits: OciLimits },
): OciSession {
  const { retry } = limits;
  const login = (): ReturnType<typeof loginFor> =>
    loginFor(reached.mirrorOf === undefined ? host : reached.registry.host, env);
  return new OciSession({ url, repository, login, retry, ...reached });
}

async function reachedAt(
  { api, ca, client, isVerified, headers }: RegistryHost,
  env: Environment,
  limits: OciLimits,
): Promise<Reached> {
  const shown = client && { cert: await certificates(client.cert), key: await certificates(client.key) };
  const all = [await trusted(api.host, env), ...(await Promise.all(ca.map(certificates)))];
  const texts = all.filter((text) => text !== undefined);
  const http = new HttpClient({
    ...limits,
    ca: texts.length === 0 ? undefined : texts.join('\n'),
    client: shown,
    isVerified,
  });
  return { registry: new URL('/', api), api, headers, http };
}

async function trusted(host: string, env: Environment): Promise<string | undefined> {
  const folders = [DOCKER_CERTIFICATES, USUAL_HOSTS].map((folder) => path.join(folder, host));
  const files: string[] = [];
  for (const folder of folders) {
    const names = await readdir(folder).catch(() => []);
    files.push(...names.filter((name) => name.endsWith('.crt')).map((name) => path.join(folder, name)));
  }
  const file = env['SSL_CERT_FILE'] ?? '';
  if (file !== '') files.push(file);
  const texts = await Promise.all(files.map(certificates));
  return texts.length === 0 ? undefined : texts.join('\n');
}

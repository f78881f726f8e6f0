import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { loginFor } from './docker-credentials.js';
import { HttpClient } from './http-client.js';
import { OciSession } from './oci-session.js';
import { OciStore } from './oci-store.js';
import type { RemotePlace } from './remote-url.js';
import type { RetryLimits } from './retry.js';
import { certificates } from './s3-place.js';

/** Where Docker has the certificates of registries: a folder a host. */
const CERTIFICATES = '/etc/docker/certs.d';

/**
 * The repository, with what `docker login` knows. Plain HTTP is spoken with this host and with those that
 * THINFUSE_OCI_PLAIN_HTTP names (with commas between them). Certificates: those that Docker has for the host,
 * and SSL_CERT_FILE. Errors: not-found (SSL_CERT_FILE).
 */
export async function ociAt(
  { host, repository, url }: RemotePlace & { readonly kind: 'oci' },
  env: Readonly<Record<string, string | undefined>>,
  { retry, idleMs, connections }: { retry: RetryLimits; idleMs: number; connections: number },
): Promise<OciStore> {
  const plain = (env['THINFUSE_OCI_PLAIN_HTTP'] ?? '').split(',').includes(host);
  const scheme = plain || /^(localhost|127\.[0-9.]+|\[::1\])(:\d+)?$/.test(host) ? 'http' : 'https';
  const address = host === 'docker.io' ? 'registry-1.docker.io' : host;
  const http = new HttpClient({ ca: await trusted(host, env['SSL_CERT_FILE']), idleMs, connections });
  const session = new OciSession({
    url,
    registry: new URL(`${scheme}://${address}/`),
    repository,
    login: () => loginFor(host, env),
    http,
    retry,
  });
  return new OciStore(url, session);
}

async function trusted(host: string, file: string | undefined): Promise<string | undefined> {
  const folder = path.join(CERTIFICATES, host);
  const names = await readdir(folder).catch(() => []);
  const files = names.filter((name) => name.endsWith('.crt')).map((name) => path.join(folder, name));
  if (file !== undefined && file !== '') files.push(file);
  const texts = await Promise.all(files.map(certificates));
  return texts.length === 0 ? undefined : texts.join('\n');
}

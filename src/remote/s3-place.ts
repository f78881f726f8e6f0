import { readFile } from 'node:fs/promises';
import { ThinError } from '../errors/thin-error.js';
import { HttpClient } from './http-client.js';
import type { RemotePlace } from './remote-url.js';
import type { RetryLimits } from './retry.js';
import { CredentialChain } from './s3-credentials.js';
import { S3Store } from './s3-store.js';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The bucket as AWS's usual variables say how to reach it: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL,
 * AWS_REGION or AWS_DEFAULT_REGION, AWS_CA_BUNDLE; and THINFUSE_S3_ADDRESSING, `path` or `virtual`, where a
 * store wants the other of path style (with an endpoint) and virtual hosts (without). Errors:
 * invalid-argument, not-found (the bundle).
 */
export async function s3At(
  place: RemotePlace & { readonly kind: 's3' },
  env: Environment,
  { retry, idleMs, connections }: { retry: RetryLimits; idleMs: number; connections: number },
): Promise<S3Store> {
  const region = set(env['AWS_REGION']) ?? set(env['AWS_DEFAULT_REGION']) ?? 'us-east-1';
  const given = set(env['AWS_ENDPOINT_URL_S3']) ?? set(env['AWS_ENDPOINT_URL']);
  const bundle = set(env['AWS_CA_BUNDLE']);
  return new S3Store({
    url: place.url,
    bucket: place.bucket,
    prefix: place.prefix,
    region,
    endpoint: given === undefined ? new URL(`https://s3.${region}.amazonaws.com`) : endpoint(given),
    pathStyle: isPathStyle(
      set(env['THINFUSE_S3_ADDRESSING']),
      given !== undefined || place.bucket.includes('.'),
    ),
    credentials: new CredentialChain(env),
    http: new HttpClient({
      ca: bundle === undefined ? undefined : await certificates(bundle),
      idleMs,
      connections,
    }),
    retry,
  });
}

function set(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

function endpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new ThinError(
      'invalid-argument',
      `AWS_ENDPOINT_URL is ${JSON.stringify(text)}, which is not an address; write it as https://HOST:PORT`,
    );
  return url;
}

function isPathStyle(given: string | undefined, usual: boolean): boolean {
  if (given === undefined) return usual;
  if (given === 'path' || given === 'virtual') return given === 'path';
  throw new ThinError(
    'invalid-argument',
    `THINFUSE_S3_ADDRESSING is ${JSON.stringify(given)}; it may be path or virtual`,
  );
}

/** Of a file in PEM. Errors: not-found. */
export async function certificates(file: string): Promise<string> {
  try {
    return await readFile(file, 'latin1');
  } catch (error) {
    throw new ThinError('not-found', `${file}, which should hold certificates, cannot be read`, {
      cause: error,
      details: { path: file },
    });
  }
}

import { randomBytes } from 'node:crypto';
import { AwsClient } from 'aws4fetch';
import { ociAt } from '../../src/remote/oci-place.js';
import { parseRemoteUrl } from '../../src/remote/remote-url.js';
import { s3At } from '../../src/remote/s3-place.js';
import { MemoryRemote } from '../support/memory-remote.js';
import { startRegistry, type RunningRegistry } from '../support/registry.js';
import { remoteStoreContract } from '../support/remote-store-contract.js';

const LIMITS = { retry: { forMs: 20_000, firstMs: 50, mostMs: 1000 }, idleMs: 20_000, connections: 8 };

remoteStoreContract('memory', () => Promise.resolve(new MemoryRemote()));

/** `http://KEY:SECRET@HOST:PORT`, which scripts/remote.sh sets: a real store takes a minute to start. */
const s3 = process.env['THINFUSE_TEST_S3'];
if (s3 === undefined)
  it('S3: not run, because THINFUSE_TEST_S3 names no store (scripts/remote.sh s3 starts one)');
else
  remoteStoreContract('S3', async () => {
    const { username, password, origin } = new URL(s3);
    const client = new AwsClient({ accessKeyId: username, secretAccessKey: password, service: 's3' });
    await client.fetch(`${origin}/thinfuse-test`, { method: 'PUT' });
    process.env['AWS_ACCESS_KEY_ID'] = username;
    process.env['AWS_SECRET_ACCESS_KEY'] = password;
    const { place } = parseRemoteUrl(`s3://thinfuse-test/${randomBytes(8).toString('hex')}`);
    if (place.kind !== 's3') throw new Error('the url is of S3');
    return s3At(place, { AWS_ENDPOINT_URL: origin }, LIMITS);
  });

describe('a registry', () => {
  let registry: RunningRegistry | undefined;
  before(async function () {
    registry = await startRegistry();
    if (registry !== undefined) return;
    if (process.env['THINFUSE_TEST_REGISTRY'] === 'required')
      throw new Error('docker-registry does not start; install it with: apt-get install docker-registry');
    console.log('      not run, because docker-registry is not installed');
    this.skip();
  });
  after(() => registry?.stop());

  remoteStoreContract('OCI', () => {
    const name = `oci://${registry?.host ?? ''}/test/${randomBytes(8).toString('hex')}`;
    const { place } = parseRemoteUrl(name);
    if (place.kind !== 'oci') throw new Error('the url is of a registry');
    return ociAt(place, {}, LIMITS);
  });
});

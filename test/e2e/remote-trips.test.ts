import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { Bucket } from '../../scripts/remote/campaign/bucket.js';
import { Cli } from '../support/cli.js';
import { copyProgram, requireMounts, run, useScratch } from '../support/mounts.js';
import { startRegistry } from '../support/registry.js';
import { RoundTrips } from '../support/round-trips.js';

interface Place {
  readonly port: number;
  readonly stop: () => Promise<void>;
}

const STORES: Readonly<Record<string, () => Promise<Place | undefined>>> = {
  s3: async () => {
    const bucket = new Bucket({ refused: 0, lost: 0, slow: 0, mostMs: 0 });
    const port = await bucket.listen();
    return { port, stop: () => Promise.resolve(bucket.close()) };
  },
  oci: async () => {
    const registry = await startRegistry();
    return registry && { port: Number(registry.host.split(':')[1]), stop: () => registry.stop() };
  },
};

describe('end to end: a start from a store', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'chroot']);
  const scratch = useScratch();
  const keys = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };
  const outer = Object.fromEntries(
    [...Object.keys(keys), 'AWS_ENDPOINT_URL'].map((name) => [name, process.env[name]]),
  );
  let cli: Cli;

  before('an image of a program', async () => {
    Object.assign(process.env, keys);
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '640M', '--data-size', '2G');
    await cli.run('start');
    const root = scratch.current.at('root');
    for (const folder of ['bin', 'dev']) await mkdir(`${root}/${folder}`, { recursive: true });
    await copyProgram('sh', root);
    for (let file = 0; file < 40; file++) await writeFile(`${root}/file-${file}`, randomBytes(300_000));
    await cli.run('image', 'create', 'program', '--from', root);
  });
  after(async () => {
    for (const [name, value] of Object.entries(outer))
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
  });

  for (const [kind, open] of Object.entries(STORES))
    it(`waits for four round trips at most, with a recorded start (${kind})`, async function () {
      const place = await open();
      if (place === undefined) this.skip();
      const trips = new RoundTrips({ host: '127.0.0.1', port: place.port });
      const url = (port: number): string => {
        process.env['AWS_ENDPOINT_URL'] = `http://127.0.0.1:${port}`;
        return kind === 's3' ? 's3://bucket/place:x' : `oci://127.0.0.1:${port}/place:x`;
      };
      try {
        await cli.run('push', '--no-anchor', 'program', url(place.port), '--trace', 'true');
        await cli.run('pull', url(await trips.listen()), 'pulled');
        await cli.run('container', 'create', 'c', '--image', 'pulled');
        await cli.run('mount', 'c');
        await run('chroot', [`${cli.root}/mnt/c/rootfs`, '/bin/sh', '-c', 'true']);
        const { count } = trips;
        assert.ok(((await cli.call('device.get', { name: 'pulled' })).remote ?? 0) > 5_000_000);
        assert.ok(count <= 4, `${count} round trips`);
      } finally {
        await cli.try('rm', '--force', 'c', 'pulled');
        trips.close();
        await place.stop();
      }
    });

  it('leaves a sound pool', async () => {
    await cli.run('stop');
    await cli.run('check');
  });
});

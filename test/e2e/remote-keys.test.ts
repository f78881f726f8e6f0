import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { Bucket } from '../../scripts/remote/campaign/bucket.js';
import { Cli } from '../support/cli.js';
import { GuardedFront, type Refusal } from '../support/guarded-front.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { startRegistry } from '../support/registry.js';

/** Unlike anything else, so that it is found wherever it is written. */
const SECRETS = Array.from({ length: 4 }, (_, at) => `sEcReT${at}${randomBytes(12).toString('hex')}`);
const IDS = ['KEYONE', 'KEYTWO', 'KEYTHREE', 'KEYFOUR'];

describe('end to end: keys of stores', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.xfs', 'openssl', 'grep', 'ps']);
  const scratch = useScratch();
  let cli: Cli;
  let said = '';

  before('a pool whose daemon has no keys in its environment', async () => {
    cli = new Cli(scratch.current);
    await cli.run('init', '--base-size', '320M', '--data-size', '1G');
    await cli.run('start');
    await cli.run('snapshot', 'db', 'base');
    const target = (await cli.run('mount', 'db')).trim();
    await run('dd', ['if=/dev/urandom', `of=${target}/file`, 'bs=1M', 'count=24', 'conv=fsync']);
    await cli.run('umount', 'db');
  });

  async function as(env: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await cli.tryWith(env, ...args, '--json');
    said += stdout + stderr;
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  }

  /** Pulls, makes the keys end when a part has come, and fetches the rest with others. */
  async function endMidway(
    front: GuardedFront,
    env: NodeJS.ProcessEnv,
    url: string,
    end: () => Promise<void>,
  ): Promise<void> {
    await as(env, 'pull', url, 'pulled');
    const target = (await cli.run('mount', 'pulled')).trim();
    await run('dd', [`if=${target}/file`, 'of=/dev/null', 'bs=1M', 'count=4']);
    const { passed } = front;
    await end();
    await as(env, 'hydrate', '--wait', 'pulled');
    assert.ok(front.passed > passed, 'the rest came after the keys had ended');
    await run('cmp', [`${target}/file`, `${(await cli.run('mount', 'db')).trim()}/file`]);
    await cli.run('umount', 'db');
    await cli.run('rm', '--force', 'pulled');
  }

  it('of S3 come from profiles, processes and metadata, over TLS of an own authority, and may end midway', async () => {
    const bucket = new Bucket({ refused: 0, lost: 0, slow: 0, mostMs: 0 });
    const front = await GuardedFront.open(scratch.current.at('.'), await bucket.listen());
    let id = IDS[0]!;
    front.answers = ({ headers }): Refusal | undefined =>
      headers.authorization?.includes(`Credential=${id}/`) === true &&
      (id !== IDS[3] || headers['x-amz-security-token'] === SECRETS[3])
        ? undefined
        : { status: 400, body: '<Error><Code>ExpiredToken</Code></Error>' };
    const at = (name: string): string => scratch.current.at(name);
    const profile = (name: string, number: number): string =>
      `[${name}]\naws_access_key_id = ${IDS[number]}\naws_secret_access_key = ${SECRETS[number]}\n`;
    await writeFile(at('credentials'), profile('trial', 0));
    const common = { AWS_ENDPOINT_URL_S3: `https://${front.host}`, AWS_EC2_METADATA_DISABLED: 'true' };
    const files = { AWS_SHARED_CREDENTIALS_FILE: at('credentials'), AWS_CONFIG_FILE: at('config') };
    const env = { ...common, ...files, AWS_PROFILE: 'trial', AWS_CA_BUNDLE: front.ca };
    const url = 's3://bucket/place:db';
    const untrusted = await cli.tryWith({ ...env, AWS_CA_BUNDLE: '' }, 'remote', 'ls', 's3://bucket/place');
    assert.notEqual(untrusted.code, 0, 'who is not trusted is not asked');
    await as(env, 'push', 'db', url);
    await endMidway(front, env, url, async () => {
      id = IDS[1]!;
      await writeFile(at('credentials'), profile('trial', 1));
    });

    // A process that the profile names.
    id = IDS[2]!;
    const text = { Version: 1, AccessKeyId: id, SecretAccessKey: SECRETS[2] };
    await writeFile(at('helper'), `#!/bin/sh\ncat <<'X'\n${JSON.stringify(text)}\nX\n`);
    await chmod(at('helper'), 0o700);
    await writeFile(at('config'), `[profile asks]\ncredential_process = ${at('helper')}\n`);
    await as({ ...env, AWS_PROFILE: 'asks' }, 'remote', 'check', 's3://bucket/place');

    // An instance's metadata, with a session token.
    id = IDS[3]!;
    const metadata = createServer(({ url: asked = '', method }, response) => {
      if (method === 'PUT') response.end('token');
      else if (asked.endsWith('/security-credentials/')) response.end('role');
      else
        response.end(
          JSON.stringify({
            ...{ Code: 'Success', AccessKeyId: id, SecretAccessKey: SECRETS[2], Token: SECRETS[3] },
            Expiration: new Date(Date.now() + 3_600_000).toISOString(),
          }),
        );
    });
    await new Promise<void>((resolve) => metadata.listen(0, '127.0.0.1', resolve));
    const address = metadata.address();
    assert.ok(typeof address === 'object' && address !== null);
    const instance = {
      ...{ AWS_ENDPOINT_URL_S3: common.AWS_ENDPOINT_URL_S3, AWS_CA_BUNDLE: front.ca },
      AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://127.0.0.1:${address.port}`,
    };
    await as(
      { ...instance, AWS_SHARED_CREDENTIALS_FILE: '/nonexistent' },
      'remote',
      'ls',
      's3://bucket/place',
    );
    metadata.close();
    front.close();
    bucket.close();
  });

  it('of a registry come from files and helpers, and its tokens may end midway', async function () {
    const registry = await startRegistry();
    if (registry === undefined) this.skip();
    const front = await GuardedFront.open(scratch.current.at('.'), Number(registry.host.split(':')[1]));
    const login = (number: number): string =>
      Buffer.from(`${IDS[number]}:${SECRETS[number]}`).toString('base64');
    let [user, token, given] = [0, 'token-0', 0];
    front.answers = ({ url, headers }): Refusal | undefined => {
      if (url?.startsWith('/token') === true) {
        given++;
        return headers.authorization === `Basic ${login(user)}`
          ? { status: 200, body: JSON.stringify({ token }) }
          : { status: 401 };
      }
      const challenge = `Bearer realm="https://${front.host}/token",service="trial"`;
      return headers.authorization === `Bearer ${token}`
        ? undefined
        : { status: 401, headers: { 'www-authenticate': challenge } };
    };
    const folder = scratch.current.at('docker');
    await mkdir(folder);
    const config = (value: unknown): Promise<void> =>
      writeFile(`${folder}/config.json`, JSON.stringify(value));
    await config({ auths: { [front.host]: { auth: login(0) } } });
    const env = { DOCKER_CONFIG: folder, SSL_CERT_FILE: front.ca };
    const url = `oci://${front.host}/devices/db:x`;
    await as(env, 'push', 'db', url);
    await endMidway(front, env, url, async () => {
      [user, token] = [1, 'token-1'];
      await config({ auths: { [front.host]: { auth: login(1) } } });
    });
    assert.ok(given >= 3, `${given} tokens`);

    const tool = `${folder}/docker-credential-trial`;
    const answer = JSON.stringify({ Username: IDS[1], Secret: SECRETS[1] });
    await writeFile(tool, `#!/bin/sh\nread server\n[ "$server" = "${front.host}" ] && echo '${answer}'\n`);
    await chmod(tool, 0o700);
    await config({ credHelpers: { [front.host]: 'trial' } });
    await as({ ...env, PATH: `${folder}:${process.env['PATH']}` }, 'remote', 'check', url);
    front.close();
    await registry.stop();
  });

  it('are in no file of the pool, no answer and no command line', async () => {
    said += await cli.run('status', '--json');
    said += JSON.stringify(await cli.call('remote.images', {}));
    said += await run('ps', ['axww', '-o', 'args']);
    const log = await cli.run('events', '--past', '--json').catch(() => '');
    await cli.run('stop');
    await cli.run('check');
    const everywhere = [
      ...SECRETS,
      ...SECRETS.map((secret, at) => Buffer.from(`${IDS[at]}:${secret}`).toString('base64')),
    ];
    for (const secret of everywhere) assert.ok(!`${said}${log}`.includes(secret), 'it is in what was said');
    assert.ok((await readdir(cli.root)).length > 0);
    const patterns = scratch.current.at('patterns');
    await writeFile(patterns, everywhere.join('\n'));
    const found = await run('grep', ['-rlaF', '-f', patterns, cli.root]).catch(() => '');
    assert.equal(found, '');
    assert.ok((await readFile(patterns)).length > 0);
  });
});

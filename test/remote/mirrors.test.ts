import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { digestOf } from '../../src/remote/digest.js';
import { openStore } from '../../src/remote/open-store.js';
import { registryHosts } from '../../src/remote/registry-hosts.js';
import type { RemoteStore } from '../../src/remote/remote-store.js';
import { parseRemoteUrl } from '../../src/remote/remote-url.js';

/** A registry of blobs alone, which counts what it is asked. */
class Blobs {
  readonly asked: string[] = [];
  readonly headers: (string | undefined)[] = [];
  has: readonly Uint8Array[] = [];
  status = 200;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      this.asked.push(`${request.method} ${request.url}`);
      this.headers.push(request.headers['x-own'] as string | undefined);
      const digest = /sha256:([0-9a-f]{64})/.exec(request.url ?? '')?.[1];
      const bytes = this.has.find((each) => digestOf(each) === digest);
      response.statusCode = this.status !== 200 ? this.status : bytes === undefined ? 404 : 200;
      response.end(response.statusCode === 200 ? bytes : '');
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

describe('mirrors of a registry, as hosts.toml names them', () => {
  let folder: string;
  let mirror: Blobs;
  let registry: Blobs;
  let at: string;
  let store: RemoteStore | undefined;
  const [here, there] = [Buffer.from('in the mirror'), Buffer.from('in the registry alone')];

  const write = async (text: string, name = at.replace(/:(\d+)$/, '_$1_')): Promise<void> => {
    await mkdir(path.join(folder, name), { recursive: true });
    await writeFile(path.join(folder, name, 'hosts.toml'), text);
  };
  const open = async (mirrors = true): Promise<RemoteStore> => {
    const { place } = parseRemoteUrl(`oci://${at}/team/app`);
    const retry = { forMs: 0, firstMs: 0, mostMs: 0 };
    store = await openStore(place, { THINFUSE_OCI_HOSTS: folder }, { retry, mirrors });
    return store;
  };
  const read = (from: RemoteStore, bytes: Uint8Array): Promise<Uint8Array> =>
    from.read('pack', digestOf(bytes));

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-test-'));
    [mirror, registry] = [new Blobs(), new Blobs()];
    mirror.has = [here];
    registry.has = [here, there];
    at = await registry.listen();
    const cache = `http://${await mirror.listen()}/cache`;
    await write(
      `server = "http://${at}"\n[host."${cache}"]\ncapabilities = ["pull"]\nheader = { x-own = "mine" }\n`,
    );
  });
  afterEach(async () => {
    store?.close();
    mirror.close();
    registry.close();
    await rm(folder, { recursive: true });
  });

  it('are read first, and the registry where they do not have it', async () => {
    const opened = await open();
    assert.deepEqual(Buffer.from(await read(opened, here)), here);
    assert.deepEqual(registry.asked, []);
    assert.match(
      mirror.asked[0]!,
      new RegExp(`^GET /cache/v2/team/app/blobs/sha256:[0-9a-f]+\\?ns=${at.replace(':', '%3A')}$`),
    );
    assert.deepEqual(mirror.headers, ['mine']);
    assert.deepEqual(Buffer.from(await read(opened, there)), there);
    assert.equal(registry.asked.length, 1);
    assert.deepEqual(registry.headers, [undefined]);
  });

  it('are passed over while they fail', async () => {
    mirror.status = 500;
    const opened = await open();
    for (const bytes of [here, there, here]) assert.deepEqual(Buffer.from(await read(opened, bytes)), bytes);
    assert.equal(mirror.asked.length, 1);
  });

  it('are not asked what a tag means where they only have "pull", and are never written to', async () => {
    const opened = await open();
    assert.equal(await opened.tag('latest'), undefined);
    await assert.rejects(opened.put('pack', digestOf(Buffer.from('new')), Buffer.from('new')));
    assert.ok(mirror.asked.every((line) => line.startsWith('HEAD')));
  });

  it('say what is not there where the registry itself is not reached', async () => {
    registry.close();
    await write(
      (await readFile(path.join(folder, at.replace(/:(\d+)$/, '_$1_'), 'hosts.toml'), 'utf8')).replace(
        '"pull"',
        '"pull", "resolve"',
      ),
    );
    const opened = await open();
    assert.equal(await opened.tag('latest'), undefined);
    await assert.rejects(read(opened, there), { code: 'not-found' });
    assert.deepEqual(Buffer.from(await read(opened, here)), here);
  });

  it('count for lazy images alone', async () => {
    await read(await open(false), here);
    assert.deepEqual(mirror.asked, []);
  });

  it('come from the folder of the host, or from that of all others', async () => {
    const own = new URL('https://registry.example.org/');
    const hosts = (name: string): ReturnType<typeof registryHosts> => registryHosts(folder, name, own);
    assert.equal(await hosts('registry.example.org'), undefined);
    await write(
      '[host."mirror.example.org"]\noverride_path = true\nca = "ca.pem"\nskip_verify = true\n',
      '_default',
    );
    const all = await hosts('registry.example.org');
    assert.equal(all?.server.api.href, 'https://registry.example.org/v2/');
    const [found] = all.mirrors;
    assert.equal(found?.api.href, 'https://mirror.example.org/');
    assert.deepEqual(found.ca, [path.join(folder, '_default', 'ca.pem')]);
    assert.equal(found.isVerified, false);
    await write('server = [', 'registry.example.org');
    await assert.rejects(
      hosts('registry.example.org'),
      /registry\.example\.org\/hosts\.toml is no hosts\.toml/,
    );
  });
});

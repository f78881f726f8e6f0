import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { LAYERS_TYPE, chainIds, packLayers, unpackLayers } from '../../src/remote/layers-manifest.js';
import type { OciManifests } from '../../src/remote/oci-manifests.js';
import { OciStore } from '../../src/remote/oci-store.js';
import { openStore } from '../../src/remote/open-store.js';
import { parseRemoteUrl } from '../../src/remote/remote-url.js';

const SUBJECT = `sha256:${'5'.repeat(64)}`;
const subject = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: SUBJECT, size: 1 };
const config = { mediaType: LAYERS_TYPE, digest: `sha256:${'c'.repeat(64)}`, size: 1 };

/** Manifests of one repository, with the API of OCI's distribution-spec 1.1 or without. */
class Registry {
  readonly manifests = new Map<string, Buffer>();
  readonly #server: Server;

  constructor(hasReferrers: boolean) {
    this.#server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => {
        const [, , , kind, name = ''] = new URL(request.url ?? '', 'http://x').pathname.split('/');
        if (kind === 'referrers' && hasReferrers) {
          const manifests = [...this.manifests].flatMap(([digest, bytes]) => {
            const { subject: of, ...rest } = JSON.parse(bytes.toString()) as { subject?: { digest: string } };
            return of?.digest === name ? [{ ...rest, digest, size: bytes.length, mediaType: 'x' }] : [];
          });
          response.end(JSON.stringify({ manifests }));
        } else if (kind === 'manifests' && request.method === 'PUT') {
          this.manifests.set(name, Buffer.concat(pieces));
          response.writeHead(201, hasReferrers ? { 'oci-subject': SUBJECT } : {}).end();
        } else {
          const found = kind === 'manifests' ? this.manifests.get(name) : undefined;
          response.writeHead(found === undefined ? 404 : 200).end(found);
        }
      });
    });
  }

  async open(): Promise<OciManifests> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const { port } = this.#server.address() as AddressInfo;
    const store = await openStore(parseRemoteUrl(`oci://127.0.0.1:${port}/place`).place, {});
    assert.ok(store instanceof OciStore);
    return store.manifests;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

describe('artifacts beside an ordinary image', () => {
  for (const hasReferrers of [true, false])
    it(`are found, the newest first, ${hasReferrers ? 'over the referrers API' : 'under the fallback tag'}`, async () => {
      const registry = new Registry(hasReferrers);
      try {
        const manifests = await registry.open();
        assert.deepEqual(await manifests.referrers(SUBJECT, LAYERS_TYPE), []);
        const put: string[] = [];
        for (const digit of ['1', '2']) {
          const layers = [{ ...config, digest: `sha256:${digit.repeat(64)}` }];
          put.unshift(
            (await manifests.putReferrer({ artifactType: LAYERS_TYPE, config, layers, subject })).digest,
          );
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        await manifests.putReferrer({ artifactType: 'text/plain', config, layers: [], subject });
        const found = await manifests.referrers(SUBJECT, LAYERS_TYPE);
        assert.deepEqual(
          found.map(({ digest }) => digest),
          put,
        );
        assert.equal((await manifests.artifact(put[0]!))?.subject?.digest, SUBJECT);
        assert.equal(registry.manifests.has(SUBJECT.replace(':', '-')), !hasReferrers);
        assert.deepEqual(await manifests.referrers(`sha256:${'6'.repeat(64)}`, LAYERS_TYPE), []);
      } finally {
        registry.close();
      }
    });

  it('list the layers by their chain ids, and are refused in another version', () => {
    const [one, two] = ['a', 'b'].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];
    // As OCI's image-spec has it: of the chain id below, a space, and the layer's digest.
    const above = `sha256:${createHash('sha256').update(`${one} ${two}`).digest('hex')}`;
    assert.deepEqual(chainIds([one, two]), [one, above]);
    const layers = [{ chain: one, image: 'c'.repeat(64), inodes: 7 }] as unknown as Parameters<
      typeof packLayers
    >[0]['layers'];
    const bytes = packLayers({ subject: SUBJECT, layers });
    assert.deepEqual(unpackLayers(bytes, 'here').layers, layers);
    const changed = (from: string, to: string): Buffer =>
      Buffer.from(Buffer.from(bytes).toString().replace(from, to));
    assert.throws(() => unpackLayers(changed('"version":1', '"version":2'), 'here'), {
      code: 'wrong-version',
    });
    assert.throws(() => unpackLayers(changed('"inodes"', '"nodes"'), 'here'), { code: 'damaged' });
    assert.throws(() => unpackLayers(Buffer.from('{'), 'here'), { code: 'damaged' });
  });
});

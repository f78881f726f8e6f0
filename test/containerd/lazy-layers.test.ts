import assert from 'node:assert/strict';
import { pino } from 'pino';
import { LazyLayers } from '../../src/containerd/lazy-layers.js';
import { ThinError } from '../../src/errors/thin-error.js';
import type { FoundLayers, LayersRequest } from '../../src/pool/remote-source.js';
import { FakePool } from '../support/fake-pool.js';

const SUBJECT = `sha256:${'5'.repeat(64)}`;
const FOUND: FoundLayers = { url: 'oci://r:1/x', settings: {}, layers: [] };

function labelsOf(image: string, subject = SUBJECT): Record<string, string> {
  return {
    'containerd.io/snapshot/cri.image-ref': image,
    'containerd.io/snapshot/cri.manifest-digest': subject,
  };
}

describe('lazy layers', () => {
  let asked: LayersRequest[];
  let said: string[];
  let pool: FakePool;
  let lazy: LazyLayers;

  beforeEach(() => {
    [asked, said] = [[], []];
    pool = new FakePool();
    pool.layers = (request) => {
      asked.push(request);
      return Promise.resolve(FOUND);
    };
    const log = pino({}, { write: (line: string) => void said.push(line) });
    lazy = new LazyLayers(pool, log, { lookMs: 50, missingLife: 100_000 });
  });

  it('are looked for where the image is, once for all of its layers', async () => {
    const places: Readonly<Record<string, string>> = {
      'registry.example.org:5000/shop/web:1.4': 'oci://registry.example.org:5000/shop/web',
      [`docker.io/library/debian@sha256:${'a'.repeat(64)}`]: 'oci://docker.io/library/debian',
      [`localhost/x/y:tag@sha256:${'a'.repeat(64)}`]: 'oci://localhost/x/y',
    };
    for (const [image, url] of Object.entries(places)) {
      for (let layer = 0; layer < 3; layer++) assert.equal(await lazy.find(labelsOf(image), 'all'), FOUND);
      assert.equal(asked.at(-1)?.url, url);
      assert.equal(asked.at(-1)?.subject, SUBJECT);
    }
    assert.equal(asked.length, 3);
  });

  it('are not looked for where nobody wants that, nor without both labels', async () => {
    const image = 'r.example:1/x:1';
    assert.equal(await lazy.find(labelsOf(image), undefined), undefined);
    assert.equal(await lazy.find(labelsOf(image), ['other.example', 'r.example']), undefined);
    assert.equal(await lazy.find(labelsOf('no-host'), 'all'), undefined);
    assert.equal(await lazy.find(labelsOf(image, 'sha256:short'), 'all'), undefined);
    assert.equal(await lazy.find({}, 'all'), undefined);
    assert.deepEqual(asked, []);
    assert.equal(await lazy.find(labelsOf(image), ['r.example:1']), FOUND);
  });

  it('are missing for a while after any failure, and the log says which', async () => {
    for (const [number, fault] of [
      new ThinError('permission', 'r refuses access: 401'),
      new ThinError('wrong-version', 'version 2'),
    ].entries()) {
      pool.layers = (request) => {
        asked.push(request);
        return Promise.reject(fault);
      };
      const labels = labelsOf(`r:1/x${number}`);
      for (let tries = 0; tries < 3; tries++) assert.equal(await lazy.find(labels, 'all'), undefined);
      assert.equal(asked.length, number + 1);
      assert.ok(said.at(-1)?.includes(fault.message));
    }
  });

  it('are missing where the registry does not answer, or what was found cannot be used', async () => {
    pool.layers = () => new Promise(() => undefined);
    assert.equal(await lazy.find(labelsOf('r:1/silent'), 'all'), undefined);
    assert.match(said.at(-1) ?? '', /does not answer/);
    pool.layers = () => Promise.resolve(FOUND);
    assert.equal(await lazy.find(labelsOf('r:1/x'), 'all'), FOUND);
    lazy.giveUp(labelsOf('r:1/x'), 'for a reason');
    assert.equal(await lazy.find(labelsOf('r:1/x'), 'all'), undefined);
    assert.match(said.at(-1) ?? '', /for a reason/);
  });
});

import assert from 'node:assert/strict';
import { open, truncate } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../../src/errors/thin-error.js';
import { openMetadataOffline } from '../../src/daemon/offline-metadata.js';
import { rootLayout } from '../../src/config/root-layout.js';
import { MARGIN } from '../../src/format/data-label.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import { chunkId } from '../../src/format/ids.js';
import { chunkKey } from '../../src/format/keys.js';
import { openPool } from '../../src/pool/pool.js';
import type { FrozenMetadata } from '../../src/pool/pool-tools.js';
import { fileFinding, scrub, type ScrubStep } from '../../src/pool/scrub.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { CrashStore } from '../support/crash-store.js';
import { makeDirectPool, makeDirectPoolOfBefore, openDirectPool } from '../support/direct-pool.js';
import { useScratch } from '../support/mounts.js';
import { textOf } from '../support/random-pool.js';
import { COMPRESSIONS, type Compression } from '../../src/config/pool-options.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

async function stepsOf(metadata: FrozenMetadata): Promise<ScrubStep[]> {
  const steps: ScrubStep[] = [];
  for await (const step of metadata.scrub()) steps.push(step);
  await metadata.close();
  return steps;
}

function findingsOf(steps: readonly ScrubStep[]): string[] {
  return steps.flatMap((step) =>
    step.kind === 'finding' ? [`${step.finding.path}: ${step.finding.problem}`] : [],
  );
}

const scrubbed = async (pool: ThinPool): Promise<string[]> =>
  findingsOf(await stepsOf(await pool.tools.freeze()));

/** Twelve chunks. */
async function prepare(compression: Compression = 'lz4'): Promise<CrashStore> {
  const store = new CrashStore();
  const pool = await makeSmallPool(store, { options: { compression } });
  await (await pool.activate(BASE_NAME)).write(0, new Uint8Array(12 * BLOCK).fill(7));
  await pool.close();
  return new CrashStore(store.contents);
}

describe('scrub', () => {
  const scratch = useScratch();

  it('tells its caller of each damage before it yields it, files first', async () => {
    const store = await prepare();
    store.flipBit(chunkKey(chunkId(3)), 101);
    const lost = new ThinError('damaged', 'a table is damaged');
    const told: string[] = [];
    const found: string[] = [];
    const steps = scrub(store.snapshot(), {
      async *damagedFiles() {
        yield await Promise.resolve(lost);
      },
      onDamage: ({ message }) => void told.push(message),
    });
    for await (const step of steps) {
      if (step.kind !== 'finding') continue;
      found.push(step.finding.path);
      assert.equal(told.length, found.length);
    }
    assert.deepEqual(found, [fileFinding(lost).path, 'chunk 3']);
    assert.equal(told[0], lost.message);
  });

  it('reads every chunk, tells how far it is, and finds nothing in a pool that is well', async () => {
    const pool = await openPool(await prepare(), { commitInterval: 0 });
    const steps = await stepsOf(await pool.tools.freeze());
    assert.deepEqual(findingsOf(steps), []);
    const done = steps.flatMap((step) => (step.kind === 'progress' ? [step.done] : []));
    assert.deepEqual(done, [0, 8 * BLOCK, 12 * BLOCK]);
    assert.deepEqual(steps.at(-1), { kind: 'end', chunks: 12, nodes: 1, devices: 1 });
    assert.equal(pool.info().mode, 'rw');
    await pool.close();
  });

  for (const [how, spoil, names] of [
    ['a flipped bit', (store: CrashStore) => store.flipBit(chunkKey(chunkId(9)), 101), ['chunk 9']],
    ['a torn write', (store: CrashStore) => store.truncate(chunkKey(chunkId(9)), 20), ['chunk 9']],
    [
      'two that changed places',
      (store: CrashStore) => store.swap(chunkKey(chunkId(2)), chunkKey(chunkId(3))),
      ['chunk 2', 'chunk 3'],
    ],
    ['one that is gone', (store: CrashStore) => store.drop(chunkKey(chunkId(4))), ['chunk 4']],
  ] as const)
    for (const compression of COMPRESSIONS)
      it(`finds ${how} among the chunks, and takes the pool out of writing: ${compression}`, async () => {
        const store = await prepare(compression);
        spoil(store);
        const pool = await openPool(store, { commitInterval: 0 });
        const found = await scrubbed(pool);
        assert.deepEqual(
          found.map((line) => line.slice(0, line.indexOf(':'))),
          names,
        );
        assert.deepEqual([pool.info().mode, pool.info().needsCheck], ['ro', true]);
        await pool.commit();
        await pool.close();
        const again = await openPool(new CrashStore(store.contents), { commitInterval: 0 });
        assert.equal(again.info().mode, 'ro');
        assert.deepEqual(await scrubbed(again), found);
        await again.close();
      });

  it('reads the data of a direct pool behind its first margin', async () => {
    const [root, data] = [scratch.current.at('margins'), scratch.current.at('margins.data')];
    await makeDirectPool(root, data);
    const pool = await openDirectPool(root);
    await (await pool.activate(BASE_NAME)).write(0, new Uint8Array(12 * BLOCK).fill(7));
    await pool.commit();
    await truncate(data, MARGIN + 10 * BLOCK + 512);
    assert.deepEqual(
      (await scrubbed(pool)).map((line) => line.slice(0, line.indexOf(':'))),
      ['chunk 10', 'chunk 11'],
    );
    await pool.close();
    const offline = await openMetadataOffline(rootLayout(root));
    assert.equal(
      (await textOf(offline.text('pool.scrub', {}))).match(/beyond the end of the data/g)?.length,
      2,
    );
    await offline.close();
  });

  it('reads the data of a direct pool, and finds what is no longer there', async () => {
    const [root, data] = [scratch.current.at('direct'), scratch.current.at('direct.data')];
    await makeDirectPoolOfBefore(root, data);
    const pool = await openDirectPool(root);
    await (await pool.activate(BASE_NAME)).write(0, new Uint8Array(12 * BLOCK).fill(7));
    assert.deepEqual(await scrubbed(pool), []);
    await truncate(data, 10 * BLOCK + 512);
    assert.deepEqual(
      (await scrubbed(pool)).map((line) => line.slice(0, line.indexOf(':'))),
      ['chunk 10', 'chunk 11'],
    );
    assert.equal(pool.info().mode, 'ro');
    await pool.close();
    const offline = await openMetadataOffline(rootLayout(root));
    assert.equal(
      (await textOf(offline.text('pool.scrub', {}))).match(/beyond the end of the data/g)?.length,
      2,
    );
    assert.equal((await offline.check({})).needsCheck, true);
    await offline.close();
    // Around data that is too short, the pool is not even opened.
    await assert.rejects(openDirectPool(root), { code: 'damaged', message: /bytes, and the pool needs/ });
    const file = await open(path.join(root, 'devicemapper', 'data'), 'r+');
    await file.truncate(64 * 2 ** 20 + 4096);
    await file.close();
    await assert.rejects(openDirectPool(root), { code: 'damaged', message: /label/ });
  });
});

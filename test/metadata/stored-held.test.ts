import assert from 'node:assert/strict';
import type { DeviceName } from '../../src/format/ids.js';
import { heldPieceKey, metadataSnapshotKey } from '../../src/format/keys.js';
import { packHeldPiece, packMetadataSnapshot } from '../../src/format/metadata-snapshot.js';
import { HELD_VERSION, seal } from '../../src/format/seal.js';
import { putSuperblock } from '../../src/metadata/auto-repair.js';
import { checkPool } from '../../src/metadata/check.js';
import { Holds } from '../../src/metadata/holds.js';
import { newSuperblock, openMetadata } from '../../src/metadata/open-metadata.js';
import type { Metadata } from '../../src/metadata/metadata.js';
import { newestHeld, readHeld, readHeldDevices } from '../../src/metadata/stored-held.js';
import { packOptions } from '../../src/pool/options-record.js';
import { MemoryStore } from '../support/memory-store.js';
import { TEST_OPTIONS } from '../support/small-pool.js';

const DEVICES = 600;

async function commit(store: MemoryStore, metadata: Metadata): Promise<void> {
  const changes = metadata.collect();
  await store.batch(changes.operations, { sync: true });
  changes.settle();
}

/** With one metadata snapshot of 600 devices, which are in three pieces. */
async function make(): Promise<{ store: MemoryStore; metadata: Metadata }> {
  const store = new MemoryStore();
  const superblock = newSuperblock({ kind: 'direct', blockSize: 65536, chunks: 4096, nodes: 4096 });
  await store.batch([putSuperblock(superblock), packOptions(TEST_OPTIONS, superblock.uuid)], { sync: true });
  const metadata = await openMetadata(store);
  const shape = { kind: 'snapshot', size: 65536, createdAt: 0, filesystem: 'xfs' } as const;
  for (let n = 1; n <= DEVICES; n++) metadata.createThin({ ...shape, name: `device-${n}` as DeviceName });
  assert(metadata.holds instanceof Holds);
  metadata.holds.begin(77, metadata.superblock);
  while (metadata.holds.step(100));
  metadata.holds.finish();
  await commit(store, metadata);
  return { store, metadata };
}

async function findings(store: MemoryStore, path: string): Promise<string[]> {
  const found = await Promise.all(
    (['all', 'records'] as const).map(async (depth) =>
      (await checkPool(store, { depth })).findings.filter((each) => each.path.startsWith(path)),
    ),
  );
  assert.deepEqual(found[0], found[1]);
  return found[0]!.map(({ problem }) => problem);
}

describe('a metadata snapshot in the store', () => {
  it('is in pieces, and read as a whole', async () => {
    const { store, metadata } = await make();
    assert.equal(await newestHeld(store), 1);
    const held = readHeld(store, 1)!;
    assert.deepEqual(held.snapshot.pieces, { first: 0, count: 3 });
    const ids = (await readHeldDevices(store, held)).map(({ id }) => Number(id));
    assert.deepEqual(
      ids,
      metadata.devices.all().map(({ id }) => Number(id)),
    );
    assert.equal(readHeld(store, 2), undefined);
  });

  it('is damaged where a piece is missing, of another one, or a piece too many', async () => {
    const { store, metadata } = await make();
    const held = readHeld(store, 1)!;
    const put = (key: Uint8Array, value: Uint8Array): Promise<void> =>
      store.batch([{ type: 'put', key, value }], { sync: true });
    await store.batch([{ type: 'del', key: heldPieceKey(1) }], { sync: true });
    await assert.rejects(readHeldDevices(store, held), { code: 'damaged', message: /held piece 1/ });
    assert.deepEqual(await findings(store, 'metadata snapshot 1'), ['1 of its 3 pieces are missing']);
    await put(heldPieceKey(1), seal('held-piece', 1, packHeldPiece(9, [])));
    await assert.rejects(readHeldDevices(store, held), {
      code: 'damaged',
      message: /of metadata snapshot 9/,
    });
    assert.deepEqual(await findings(store, 'held piece 1'), [
      'metadata snapshot 9, which it names, does not have it',
    ]);
    assert.deepEqual(await findings(store, 'metadata snapshot 1'), [
      `it is said to have ${DEVICES} devices, and has ${DEVICES - 256}`,
    ]);
    const fewer = packMetadataSnapshot({ ...held.snapshot, devices: 256 }, { first: 0, count: 1 });
    await put(metadataSnapshotKey(1), seal('metadata-snapshot', 1, fewer, HELD_VERSION));
    assert.equal((await findings(store, 'held piece')).length, 2);
    assert.equal(metadata.isDirty, false);
  });

  it('that was made and not committed is given back', async () => {
    const { store, metadata } = await make();
    metadata.holds.begin(78, metadata.superblock);
    while (metadata.holds.step(100));
    metadata.holds.finish();
    metadata.holds.drop();
    assert.equal(metadata.heldRoots.get(2), undefined);
    assert.equal(metadata.owesSpace, true);
    while (metadata.deleteStep(50)) await commit(store, metadata);
    await commit(store, metadata);
    assert.deepEqual((await checkPool(store)).findings, []);
    assert.deepEqual(
      metadata.heldRoots.all().map(({ id }) => id),
      [1],
    );
  });
});

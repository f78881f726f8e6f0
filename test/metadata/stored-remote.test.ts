import assert from 'node:assert/strict';
import { chunkId } from '../../src/format/ids.js';
import { describeKey, remoteImageKey, remoteSheetKey } from '../../src/format/keys.js';
import { RemoteTable } from '../../src/metadata/remote-table.js';
import { readRemote } from '../../src/metadata/stored-remote.js';
import type { KvOperation } from '../../src/store/key-value.js';
import { MemoryStore } from '../support/memory-store.js';

const CHUNK = chunkId(5);

/** A table with one image of which one chunk is in a store. */
function stored(): readonly KvOperation[] {
  const table = new RemoteTable();
  const image = table.addImage({
    url: 's3://store/image',
    digest: '00',
    keyFile: '',
    note: '',
    settings: {},
    family: 3,
    isHydrating: false,
  });
  table.set(CHUNK, { image, block: 7 });
  return table.collect().operations;
}

async function read(...operations: readonly KvOperation[]): Promise<[RemoteTable, string[]]> {
  const store = new MemoryStore();
  await store.batch(operations, { sync: true });
  const damaged: string[] = [];
  const table = await readRemote(store, (_error, key) => damaged.push(describeKey(key)));
  return [table, damaged];
}

describe('the remote chunks of a stored pool', () => {
  it('come back with their image', async () => {
    const [table, damaged] = await read(...stored());
    assert.deepEqual(damaged, []);
    assert.equal(table.peek(CHUNK)?.block, 7);
    assert.equal(table.image(table.peek(CHUNK)!.image)?.left, 1);
  });

  it('of a damaged sheet are unknown, and the damage is told by its key', async () => {
    const key = remoteSheetKey(0);
    const [table, damaged] = await read(...stored(), { type: 'put', key, value: new Uint8Array(9) });
    assert.deepEqual(damaged, [describeKey(key)]);
    assert.throws(() => table.get(CHUNK), { code: 'damaged' });
  });

  it('stay where their image is damaged', async () => {
    const image = stored().findLast(({ type }) => type === 'put')!;
    const value = new Uint8Array(9);
    const [table, damaged] = await read(...stored(), { type: 'put', key: image.key, value });
    assert.deepEqual(damaged, [describeKey(image.key)]);
    assert.equal(table.peek(CHUNK)?.block, 7);
    assert.deepEqual(image.key, remoteImageKey(table.peek(CHUNK)!.image));
  });
});

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { createTree, entries, insert } from '../../src/btree/mapping-tree.js';
import { readAhead } from '../../src/btree/read-ahead.js';
import { NodeTable } from '../../src/metadata/node-table.js';
import { SpaceMap } from '../../src/metadata/space-map.js';
import { MemoryStore } from '../support/memory-store.js';

const LIMITS = { leaf: 4, internal: 4 };
const KEYS = 200;

/** Which keys were read, and how. */
class WatchedStore extends MemoryStore {
  readonly ahead = new Set<string>();
  readonly waitedFor: string[] = [];

  override getSync(key: Uint8Array): Uint8Array | undefined {
    const name = Buffer.from(key).toString('hex');
    if (!this.ahead.has(name)) this.waitedFor.push(name);
    return super.getSync(key);
  }

  override get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.ahead.add(Buffer.from(key).toString('hex'));
    return super.get(key);
  }
}

describe('reading ahead in a tree', () => {
  it('has every node at hand that the range needs, some of them in memory or none', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.nat(KEYS), { minLength: 1, maxLength: 120 }),
        fc.array(fc.nat(KEYS), { maxLength: 5 }),
        fc.nat(KEYS),
        fc.integer({ min: 1, max: 60 }),
        async (keys, warm, from, length) => {
          const store = new WatchedStore();
          const parts = [store, new SpaceMap(4000), new SpaceMap(4000)] as const;
          const made = new NodeTable(...parts, { limits: LIMITS, cachedNodes: 3 });
          let root = createTree(made);
          for (const key of keys) root = insert(made, root, key, key, 1).root;
          await store.batch(made.collect().operations, { sync: true });
          const table = new NodeTable(...parts, { limits: LIMITS, cachedNodes: 1000 });
          for (const key of warm) assert.ok([...entries(table, root, key, key + 1)].length <= 1);
          store.ahead.clear();
          store.waitedFor.length = 0;
          const reading = readAhead(table, root, from, from + length);
          await reading;
          const found = [...entries(table, root, from, from + length)].map(({ key }) => key);
          assert.deepEqual(
            found,
            keys.filter((key) => key >= from && key < from + length).sort((a, b) => a - b),
          );
          assert.deepEqual(store.waitedFor, []);
          assert.equal(readAhead(table, root, from, from + length), undefined);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('ends where a node leads back to itself, in memory and in the store', async () => {
    const store = new MemoryStore();
    const parts = [store, new SpaceMap(100), new SpaceMap(100)] as const;
    const made = new NodeTable(...parts, { limits: LIMITS, cachedNodes: 3 });
    const top = made.create(2);
    top.insertAt(0, 0, top.id, 0);
    await store.batch(made.collect().operations, { sync: true });
    const table = new NodeTable(...parts, { limits: LIMITS, cachedNodes: 3 });
    await readAhead(table, top.id, 0, 10);
    table.read(top.id);
    assert.equal(readAhead(table, top.id, 0, 10), undefined);
  });

  it('leaves what is damaged to the reader of the tree', async () => {
    const store = new MemoryStore();
    const parts = [store, new SpaceMap(100), new SpaceMap(100)] as const;
    const table = new NodeTable(...parts, { limits: LIMITS, cachedNodes: 3 });
    const root = createTree(table);
    await readAhead(new NodeTable(...parts, { limits: LIMITS, cachedNodes: 3 }), root, 0, 10);
  });
});

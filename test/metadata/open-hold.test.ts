import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chunkId, deviceId, virtualBlock, type DeviceId, type DeviceName } from '../../src/format/ids.js';
import { checkPool } from '../../src/metadata/check.js';
import { mappingRuns } from '../../src/metadata/mapping-runs.js';
import type { Metadata } from '../../src/metadata/metadata.js';
import { openView } from '../../src/metadata/metadata-view.js';
import { OpenHold } from '../../src/metadata/open-hold.js';
import { openMetadata } from '../../src/metadata/open-metadata.js';
import type { MemoryStore } from '../support/memory-store.js';
import { commitMetadata, makeMetadata, SMALL_NODES, smallDevice } from '../support/small-metadata.js';

const BLOCKS = 20;
const DEVICES = 5;
const DEVICE = smallDevice(BLOCKS);

const device = fc.nat(2 * DEVICES);
const block = fc.nat(BLOCKS - 1);
const change = fc.oneof(
  { weight: 4, arbitrary: fc.record({ map: block, of: device }) },
  { weight: 2, arbitrary: fc.record({ unmap: block, of: device }) },
  fc.record({ snapshot: device }),
  fc.record({ remove: device }),
  fc.record({ rename: device }),
  fc.record({ look: device }),
  fc.record({ commit: fc.constant(true) }),
);
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

const make = (): ReturnType<typeof makeMetadata> => makeMetadata(BLOCKS, DEVICES);

async function settle(store: MemoryStore, metadata: Metadata): Promise<void> {
  while (metadata.owesSpace) {
    metadata.deleteStep(2);
    await commitMetadata(store, metadata);
  }
  await commitMetadata(store, metadata);
  assert.deepEqual((await checkPool(store, { limits: SMALL_NODES })).findings, []);
}

let names = 0;

async function apply(store: MemoryStore, metadata: Metadata, one: Change): Promise<void> {
  if ('commit' in one) return commitMetadata(store, metadata);
  const all = metadata.devices.all();
  const wanted = 'of' in one ? one.of : Object.values(one)[0]!;
  const id = all[wanted % Math.max(1, all.length)]?.id;
  if (id === undefined) return;
  if ('map' in one) {
    const chunk = chunkId(metadata.chunks.take()!);
    metadata.map(id, virtualBlock(one.map), chunk);
  } else if ('unmap' in one) metadata.unmap(id, virtualBlock(one.unmap));
  else if ('snapshot' in one)
    metadata.createSnapshot(id, { ...DEVICE, name: `snapshot-${names++}` as DeviceName });
  else if ('remove' in one) metadata.removeDevice(id);
  else if ('rename' in one) metadata.devices.change(id, { name: `name-${names++}` as DeviceName });
  else assert.equal(typeof metadata.countExclusive(id, 0, 100).count, 'number');
}

/** Each device's name and mappings. */
async function content(store: MemoryStore, held?: number): Promise<unknown> {
  const view = await openView(store, { limits: SMALL_NODES, held });
  const found = [];
  for (const { id, name, root } of view.devices) {
    const runs = [];
    for await (const { begin, chunk, length } of mappingRuns(view.nodes, root))
      runs.push([begin, chunk, length]);
    found.push({ id, name, runs });
  }
  return found;
}

describe('a metadata snapshot that is being made', () => {
  it('has the moment in which it began, whatever changes meanwhile, and gives all of it back', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(change, { maxLength: 25 }),
        fc.array(fc.oneof(change, fc.constant('step' as const)), { maxLength: 25 }),
        fc.array(change, { maxLength: 10 }),
        async (before, during, after) => {
          const { store, metadata } = await make();
          for (const one of before) await apply(store, metadata, one);
          await commitMetadata(store, metadata);
          const then = await content(store);
          metadata.holds.begin(77, metadata.superblock);
          for (const one of during)
            if (one === 'step') metadata.holds.step(1);
            else await apply(store, metadata, one);
          while (metadata.holds.step(2));
          const { id } = metadata.holds.finish();
          for (const one of after) await apply(store, metadata, one);
          await settle(store, metadata);
          assert.deepEqual(await content(store, id), then);
          assert.deepEqual(await content(store, undefined), await content(store));
          const now = await content(store);
          metadata.holds.release(id);
          await settle(store, metadata);
          assert.deepEqual(await content(store), now);
          const again = await openMetadata(store, { limits: SMALL_NODES });
          assert.equal(again.nodes.counted, metadata.nodes.counted);
          assert.equal((await checkPool(store, { limits: SMALL_NODES })).chunks, again.chunks.counted);
        },
      ),
      { numRuns: 150 },
    ));

  it('says of no block that it is the device’s alone', async () => {
    const { store, metadata } = await make();
    for (const id of [1, 2]) metadata.map(deviceId(id), virtualBlock(0), chunkId(metadata.chunks.take()!));
    await commitMetadata(store, metadata);
    const shared = (id: DeviceId): boolean[] => [...metadata.mappings(id, 0, 1)].map((each) => each.shared);
    assert.deepEqual(shared(deviceId(2)), [false]);
    metadata.holds.begin(77, metadata.superblock);
    metadata.holds.step(1);
    assert.deepEqual([shared(deviceId(1)), shared(deviceId(2))], [[true], [true]]);
  });

  it('goes where nobody finished it: the next one to open the pool gives it back', async () => {
    const { store, metadata } = await make();
    for (let n = 1; n <= DEVICES; n++)
      metadata.map(deviceId(n), virtualBlock(n), chunkId(metadata.chunks.take()!));
    await commitMetadata(store, metadata);
    metadata.holds.begin(77, metadata.superblock);
    metadata.holds.step(2);
    metadata.unmap(deviceId(4), virtualBlock(4));
    await commitMetadata(store, metadata);
    assert.deepEqual((await checkPool(store, { limits: SMALL_NODES })).findings, []);
    await assert.rejects(openView(store, { held: 'newest' }), { code: 'not-found' });
    await assert.rejects(openView(store, { held: 1 }), { code: 'not-found' });

    const again = await openMetadata(store, { limits: SMALL_NODES });
    assert.deepEqual(again.heldRoots.all(), []);
    assert.equal(again.owesSpace, true);
    assert.equal(again.chunks.counted, DEVICES);
    await settle(store, again);
    assert.equal(again.chunks.counted, DEVICES - 1);
  });

  it('takes no device twice, and none that has come since', () => {
    const taken: number[] = [];
    const record = (id: number): never => ({ id: deviceId(id), root: id }) as never;
    const hold = new OpenHold({
      devices: {
        after: (id, most) =>
          [1, 2, 3, 4]
            .filter((each) => each > id)
            .slice(0, most)
            .map(record),
        get: record,
        noteExclusive: () => undefined,
      },
      heldRoots: { add: () => undefined },
      table: { share: (root) => taken.push(root) },
    });
    hold.skip(deviceId(3));
    hold.touch(deviceId(2));
    hold.touch(deviceId(2));
    while (hold.step(1)) hold.touch(deviceId(1));
    hold.touch(deviceId(4));
    assert.deepEqual(taken, [2, 1, 4]);
  });
});

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chunkId, deviceId, virtualBlock, type DeviceId, type DeviceName } from '../../src/format/ids.js';
import { checkPool } from '../../src/metadata/check.js';
import { Metadata } from '../../src/metadata/metadata.js';
import { openMetadata } from '../../src/metadata/open-metadata.js';
import { commitMetadata, makeMetadata, SMALL_NODES, smallDevice } from '../support/small-metadata.js';

const BLOCKS = 40;
const DEVICE = smallDevice(BLOCKS);

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ map: fc.nat(BLOCKS - 1), of: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ unmap: fc.nat(BLOCKS - 1), of: fc.nat(4) }) },
  fc.record({ snapshot: fc.nat(4) }),
  fc.record({ remove: fc.nat(4) }),
  fc.record({ commit: fc.boolean() }),
);

async function make(): ReturnType<typeof makeMetadata> {
  const made = await makeMetadata(BLOCKS, 1);
  assert.ok(made.metadata instanceof Metadata);
  return made;
}

describe('the metadata of a pool', () => {
  it('maps as plain maps do, whatever is mapped, snapshotted and removed, and is sound in the store', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { store, metadata } = await make();
        /** Each device's blocks, with the mark of the write that mapped them. */
        const model = new Map<DeviceId, Map<number, number>>([[deviceId(1), new Map()]]);
        const pick = (n: number): DeviceId | undefined => [...model.keys()][n % Math.max(1, model.size)];
        for (const one of steps) {
          if ('commit' in one) {
            if (one.commit) await commitMetadata(store, metadata);
            continue;
          }
          const id = pick('of' in one ? one.of : 'snapshot' in one ? one.snapshot : one.remove);
          if (id === undefined) continue;
          const blocks = model.get(id)!;
          if ('map' in one) {
            const chunk = chunkId(metadata.chunks.take()!);
            metadata.map(id, virtualBlock(one.map), chunk);
            blocks.set(one.map, chunk);
          } else if ('unmap' in one) {
            metadata.unmap(id, virtualBlock(one.unmap));
            blocks.delete(one.unmap);
          } else if ('snapshot' in one) {
            const name = `device-${metadata.superblock.lastDeviceId + 1}` as DeviceName;
            model.set(metadata.createSnapshot(id, { ...DEVICE, name }).id, new Map(blocks));
          } else {
            metadata.removeDevice(id);
            model.delete(id);
          }
        }
        for (const [id, blocks] of model) {
          const found = new Map([...metadata.mappings(id, 0, Infinity)].map((each) => [each.block, each]));
          assert.deepEqual(
            new Map([...found].map(([block, { chunk }]) => [block as number, chunk as number])),
            new Map([...blocks].sort(([a], [b]) => a - b)),
          );
          assert.equal(metadata.devices.get(id).mapped, blocks.size);
          assert.equal(metadata.endOfMappings(id), Math.max(-1, ...blocks.keys()) + 1);
          for (let block = 0; block < BLOCKS; block++) {
            const next = [...blocks.keys()].filter((each) => each >= block);
            assert.equal(metadata.nextMapped(id, block), next.length === 0 ? undefined : Math.min(...next));
          }
          for (const { block, chunk, shared } of found.values()) {
            const users = [...model.values()].filter((other) => other.get(block) === chunk).length;
            // What was shared at the last durable commit may still be.
            if (users > 1) assert.ok(shared);
          }
        }
        while (metadata.deleteStep(3)) await commitMetadata(store, metadata);
        await commitMetadata(store, metadata);
        assert.deepEqual((await checkPool(store, { limits: SMALL_NODES })).findings, []);
        const mapped = new Set([...model.values()].flatMap((blocks) => [...blocks.values()]));
        assert.equal(metadata.chunks.used, mapped.size);
      }),
      { numRuns: 60 },
    );
  });

  it('gives back what a batch that failed had taken out', async () => {
    const { store, metadata } = await make();
    const chunk = chunkId(metadata.chunks.take()!);
    metadata.map(deviceId(1), virtualBlock(3), chunk);
    const first = metadata.collect();
    assert.ok(!metadata.isDirty);
    first.undo();
    assert.ok(metadata.isDirty);
    await commitMetadata(store, metadata);
    assert.deepEqual((await checkPool(store, { limits: SMALL_NODES })).findings, []);
    assert.equal(
      (await openMetadata(store, { limits: SMALL_NODES })).lookup(deviceId(1), virtualBlock(3)),
      chunk,
    );
  });

  it('holds the roots of a moment, and frees what only they had when they are released', async () => {
    const { store, metadata } = await make();
    metadata.map(deviceId(1), virtualBlock(0), chunkId(metadata.chunks.take()!));
    metadata.holds.begin(0, metadata.superblock);
    while (metadata.holds.step(1));
    const { id } = metadata.holds.finish();
    metadata.map(deviceId(1), virtualBlock(0), chunkId(metadata.chunks.take()!));
    await commitMetadata(store, metadata);
    assert.equal(metadata.chunks.used, 2);
    assert.deepEqual((await checkPool(store, { limits: SMALL_NODES })).findings, []);
    metadata.holds.release(id);
    while (metadata.deleteStep(1)) await commitMetadata(store, metadata);
    await commitMetadata(store, metadata);
    assert.equal(metadata.chunks.used, 1);
    assert.deepEqual((await checkPool(store, { limits: SMALL_NODES })).findings, []);
  });
});

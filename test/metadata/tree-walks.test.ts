import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { DeviceRecord } from '../../src/format/device-record.js';
import { deviceId } from '../../src/format/ids.js';
import { delta, type DeltaRange } from '../../src/metadata/delta.js';
import { mappingRuns } from '../../src/metadata/mapping-runs.js';
import { StoredNodes } from '../../src/metadata/metadata-view.js';
import { reverseMap, type ReverseRun } from '../../src/metadata/reverse-map.js';
import { TreeBuilder } from '../../src/metadata/tree-builder.js';
import { NodeTable } from '../../src/metadata/node-table.js';
import { SpaceMap } from '../../src/metadata/space-map.js';
import { MemoryStore } from '../support/memory-store.js';

const LIMITS = { leaf: 4, internal: 4 };
const BLOCKS = 60;

/** The chunk of each virtual block; runs are likely. */
const mappings = fc
  .array(fc.record({ block: fc.nat(BLOCKS), chunk: fc.nat(40), length: fc.integer({ min: 1, max: 9 }) }), {
    maxLength: 8,
  })
  .map((runs) => {
    const map = new Map<number, number>();
    for (const { block, chunk, length } of runs)
      for (let i = 0; i < length; i++) map.set(block + i, chunk + i);
    return new Map([...map].sort(([x], [y]) => x - y));
  });

type Mappings = ReadonlyMap<number, number>;

/** Trees of devices, which share the nodes that are the same. */
async function treesOf(devices: readonly Mappings[]): Promise<Parameters<typeof reverseMap>[0]> {
  const builder = new TreeBuilder(10_000, LIMITS);
  const roots = devices.map((map) => {
    for (const [block, chunk] of map) builder.add(block, chunk, 1);
    return builder.finish();
  });
  const store = new MemoryStore();
  await store.batch(builder.operations, { sync: true });
  return {
    devices: roots.map((root, index) => ({ id: deviceId(index + 1), root }) as DeviceRecord),
    nodes: new StoredNodes(store, LIMITS),
  };
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** Every block with what it is. */
function blocksIn(ranges: readonly DeltaRange[]): Map<number, readonly unknown[]> {
  const blocks = new Map<number, readonly unknown[]>();
  for (const range of ranges)
    for (let i = 0; i < range.length; i++) {
      assert.ok(!blocks.has(range.begin + i), `block ${range.begin + i} is told twice`);
      const chunks = range.kind === 'different' ? [range.left + i, range.right + i] : [range.chunk + i];
      blocks.set(range.begin + i, [range.kind, ...chunks]);
    }
  return blocks;
}

describe('metadata: walks over several trees', () => {
  it('delta says of each block what two maps say', async () => {
    await fc.assert(
      fc.asyncProperty(mappings, mappings, fc.boolean(), async (left, right, changesOnly) => {
        const { devices, nodes } = await treesOf([left, right]);
        const ranges = await all(delta(nodes, devices[0]!.root, devices[1]!.root, { changesOnly }));
        const expected = new Map<number, readonly unknown[]>();
        for (const block of [...new Set([...left.keys(), ...right.keys()])].sort((x, y) => x - y)) {
          const [l, r] = [left.get(block), right.get(block)];
          if (l === r && changesOnly) continue;
          if (l === undefined) expected.set(block, ['right_only', r]);
          else if (r === undefined) expected.set(block, ['left_only', l]);
          else expected.set(block, l === r ? ['same', l] : ['different', l, r]);
        }
        assert.deepEqual([...blocksIn(ranges)], [...expected]);
        for (const [index, range] of ranges.slice(1).entries())
          assert.ok(!goesOn(ranges[index]!, range), 'two ranges could be one');
      }),
      { numRuns: 300 },
    );
  });

  it('delta ends at a node whose keys belong to its neighbour', async () => {
    const store = new MemoryStore();
    const parts = [new SpaceMap(100), new SpaceMap(100)] as const;
    const table = new NodeTable(store, ...parts, { limits: LIMITS, cachedNodes: 3 });
    const [top, left, right, other] = [1, 0, 0, 0].map((level) => table.create(level));
    for (const [index, leaf] of [left!, right!].entries()) top!.insertAt(index, 10 * index, leaf.id, 0);
    left!.insertAt(0, 0, 1, 1);
    left!.insertAt(1, 10, 2, 1);
    right!.insertAt(0, 10, 3, 1);
    await store.batch(table.collect().operations, { sync: true });
    await assert.rejects(all(delta(new StoredNodes(store, LIMITS), top!.id, other!.id)), {
      code: 'damaged',
      message: /leave the range/,
    });
  });

  it('reverseMap finds every mapping into the regions, ascending by chunk, then by device', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(mappings, { minLength: 1, maxLength: 4 }),
        fc.array(fc.tuple(fc.nat(45), fc.integer({ min: 1, max: 10 })), { minLength: 1, maxLength: 3 }),
        async (maps, spans) => {
          const view = await treesOf(maps);
          const regions = spans.map(([begin, length]) => ({ begin, end: begin + length }));
          const runs = await reverseMap(view, regions);
          const expected = maps.flatMap((map, index) =>
            [...map]
              .filter(([, chunk]) => regions.some(({ begin, end }) => chunk >= begin && chunk < end))
              .map(([block, chunk]) => `${index + 1} ${block} ${chunk}`),
          );
          assert.deepEqual(runs.flatMap(mappingsIn).sort(), expected.sort());
          assert.deepEqual(
            runs,
            runs.toSorted((x, y) => x.chunk - y.chunk || x.device - y.device || x.block - y.block),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  it('mappingRuns joins what goes on chunk by chunk, and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(mappings, async (map) => {
        const { devices, nodes } = await treesOf([map]);
        const runs = await all(mappingRuns(nodes, devices[0]!.root));
        const told = runs.flatMap(({ begin, chunk, length }) =>
          Array.from({ length }, (_, i) => [begin + i, chunk + i]),
        );
        assert.deepEqual(told, [...map]);
        for (const [index, { begin, chunk }] of runs.slice(1).entries()) {
          const before = runs[index]!;
          assert.ok(before.begin + before.length !== begin || before.chunk + before.length !== chunk);
        }
      }),
      { numRuns: 200 },
    );
  });
});

function mappingsIn({ device, block, chunk, length }: ReverseRun): string[] {
  return Array.from({ length }, (_, i) => `${device} ${block + i} ${chunk + i}`);
}

function goesOn(one: DeltaRange, next: DeltaRange): boolean {
  if (one.kind !== next.kind || one.begin + one.length !== next.begin) return false;
  if (one.kind === 'different' && next.kind === 'different')
    return one.left + one.length === next.left && one.right + one.length === next.right;
  return one.kind !== 'different' && next.kind !== 'different' && one.chunk + one.length === next.chunk;
}

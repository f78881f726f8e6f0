import assert from 'node:assert/strict';
import fc from 'fast-check';
import { summarizeDevice } from '../../src/legacy/device-summary.js';
import {
  importDevices,
  type ImportTarget,
  type NewDevice,
  type TargetImage,
} from '../../src/legacy/import-devices.js';
import { CANDIDATES, planImport, type PlanDevice } from '../../src/legacy/import-plan.js';
import type { LegacyPool } from '../../src/legacy/legacy-pool.js';
import type { DataReader } from '../../src/legacy/block-reader.js';
import { openBuilt } from '../support/legacy-metadata.js';
import { playPool, poolSteps } from '../support/legacy-history.js';

const BLOCK = 65536;
const BLOCKS = 40;
const NEVER = new AbortController().signal;

/** A pool that keeps the first four bytes of each block, and which device wrote it first. */
class FakeTarget implements ImportTarget {
  readonly devices = new Map<string, { device: NewDevice; blocks: Map<number, { readonly text: string }> }>();
  readonly log: string[] = [];
  failAt = Infinity;
  #writes = 0;

  async create(device: NewDevice): Promise<void> {
    const origin = device.origin === undefined ? undefined : this.devices.get(device.origin);
    assert.ok(device.origin === undefined || origin !== undefined, 'an origin comes before its snapshot');
    assert.ok(device.size >= (origin?.device.size ?? 0));
    this.devices.set(device.name, { device, blocks: new Map(origin?.blocks) });
  }

  async open(name: string): Promise<TargetImage> {
    const { blocks, device } = this.devices.get(name)!;
    return {
      write: async (offset, from) => {
        if (++this.#writes >= this.failAt) throw new Error('the pool failed');
        assert.equal(offset % BLOCK, 0);
        assert.ok(offset + from.length <= device.size);
        for (let at = 0; at < from.length; at += BLOCK)
          blocks.set((offset + at) / BLOCK, { text: Buffer.from(from.subarray(at, at + 4)).toString('hex') });
      },
      zero: async (offset, length) => {
        for (let at = 0; at < length; at += BLOCK) blocks.delete((offset + at) / BLOCK);
      },
      close: async () => {
        this.log.push(`close ${name}`);
      },
    };
  }

  async finish({ name }: NewDevice): Promise<void> {
    this.log.push(`finish ${name}`);
  }

  async remove(name: string): Promise<void> {
    this.devices.delete(name);
  }

  /** Chunks in use, each counted once. */
  get chunks(): number {
    return new Set([...this.devices.values()].flatMap(({ blocks }) => [...blocks.values()])).size;
  }
}

/** Each data block holds its own number. */
const numbered: DataReader = {
  path: 'data',
  size: 2 ** 40,
  gaps: () => [],
  read: async (offset, into) => {
    for (let at = 0; at < into.length; at += BLOCK)
      new DataView(into.buffer, into.byteOffset + at).setUint32(0, (offset + at) / BLOCK + 1);
  },
};

function planned(pool: LegacyPool): PlanDevice[] {
  return pool.devices.map((device) => ({
    device: { ...device, tree: device.tree! },
    summary: summarizeDevice(device, pool.dataBlocks),
    size: BLOCKS * BLOCK,
    filesystem: undefined,
    hint: undefined,
  }));
}

async function importAll(pool: LegacyPool, target: FakeTarget): Promise<void> {
  await importDevices(
    [
      {
        source: {
          data: numbered,
          blockSize: BLOCK,
          dataBlocks: pool.dataBlocks,
          describe: ({ device }) => ({ name: `d${device.id}`, kind: 'snapshot', filesystem: 'xfs' }),
        },
        steps: planImport(planned(pool), pool.dataBlocks),
      },
    ],
    [],
    target,
    { signal: NEVER },
  );
}

describe('legacy: importing a whole pool', function () {
  this.timeout(120_000);

  for (const frozen of ['origins', 'snapshots', 'none'] as const)
    it(`keeps every byte${frozen === 'none' ? '' : `, and all sharing, where nobody writes to ${frozen}`}`, async () => {
      await fc.assert(
        fc.asyncProperty(poolSteps, fc.integer({ min: 1, max: 6 }), async (steps, leaf) => {
          const { devices, dataBlocks } = playPool(steps, BLOCKS, frozen);
          const pool = openBuilt(devices, { dataBlocks, leaf });
          const target = new FakeTarget();
          await importAll(pool, target);
          for (const { id, mappings } of devices) {
            const { blocks } = target.devices.get(`d${id}`)!;
            const wanted = [...mappings].map(([block, { data }]) => [
              block,
              (data + 1).toString(16).padStart(8, '0'),
            ]);
            assert.deepEqual(
              [...blocks].map(([block, { text }]) => [block, text]).sort(),
              wanted.sort(),
              `device ${id}`,
            );
          }
          const used = new Set(
            devices.flatMap(({ mappings }) => [...mappings.values()].map(({ data }) => data)),
          ).size;
          assert.ok(target.chunks >= used);
          // Where there are more, the sketch of a device so small may leave out the best.
          if (frozen !== 'none' && devices.length <= CANDIDATES) assert.equal(target.chunks, used);
        }),
        // Making a failure smaller takes minutes, and nothing else gets its turn meanwhile.
        { numRuns: 150, endOnFailure: true },
      );
    });

  it('makes a snapshot of the origin that others name where two are as good', () => {
    const mappings = new Map([[0, { data: 0, time: 0 }]]);
    const devices = [1, 2, 3].map((id) => ({ id, creationTime: id, snapTime: id, mappings }));
    const pool = openBuilt(devices, { dataBlocks: 1 });
    const hinted = planned(pool).map((one) => (one.device.id === 3 ? { ...one, hint: 2 } : one));
    assert.deepEqual(
      planImport(hinted, 1).map(({ planned: { device }, origin, blocks }) => [
        device.id,
        origin?.device.id,
        blocks,
      ]),
      [
        [1, undefined, 1],
        [2, 1, 0],
        [3, 2, 0],
      ],
    );
  });

  it('leaves nothing behind when the pool fails, or when it is told to stop', async () => {
    const steps = Array.from({ length: 30 }, (_, block) => ({ do: 'write' as const, device: 0, block }));
    const { devices, dataBlocks } = playPool(
      [...steps, { do: 'snapshot', device: 0 }, { do: 'write', device: 1, block: 3 }],
      BLOCKS,
      'none',
    );
    const pool = openBuilt(devices, { dataBlocks });
    for (const failAt of [1, 2]) {
      const target = new FakeTarget();
      target.failAt = failAt;
      await assert.rejects(importAll(pool, target), /the pool failed/);
      assert.equal(target.devices.size, 0);
    }
    const target = new FakeTarget();
    await assert.rejects(
      importDevices(
        [
          {
            source: {
              data: numbered,
              blockSize: BLOCK,
              dataBlocks,
              describe: () => ({ name: 'd', kind: 'snapshot', filesystem: 'xfs' }),
            },
            steps: planImport(planned(pool), dataBlocks),
          },
        ],
        [],
        target,
        { signal: AbortSignal.abort(new Error('stop')) },
      ),
      /stop/,
    );
    assert.equal(target.devices.size, 0);
  });
});

import assert from 'node:assert/strict';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { PoolWriter } from '../../src/transfer/pool-writer.js';
import type { DeviceStatus } from '../../src/api/operations.js';
import type { MappingRun } from '../../src/metadata/mapping-runs.js';
import type { PoolInfo } from '../../src/pool/info.js';
import { parseDump } from '../../src/thin-tools/parse-dump.js';
import { playPool, poolSteps } from '../support/legacy-history.js';
import type { BuiltDevice } from '../support/legacy-metadata.js';

const BLOCK = 4096;
const BLOCKS = 51;

describe('export: a pool for dm-thin', () => {
  it('has every chunk once and at its place, and every mapping, over random lives of pools', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-test-'));
    try {
      await fc.assert(
        fc.asyncProperty(poolSteps, async (steps) => {
          const { devices, dataBlocks } = playPool(steps, BLOCKS, 'none');
          const { data, xml, bytes } = await write(folder, devices, dataBlocks);
          const used = new Map<number, Buffer>();
          const dumped = await mappingsIn(xml);
          assert.deepEqual(
            [...dumped.keys()],
            devices.map(({ id }) => id),
          );
          for (const { id, mappings } of devices) {
            assert.deepEqual(dumped.get(id), sorted(mappings));
            for (const { data: chunk } of mappings.values()) used.set(chunk, contentOf(chunk));
          }
          for (const [chunk, content] of used)
            assert.ok(data.subarray(chunk * BLOCK, (chunk + 1) * BLOCK).equals(content), String(chunk));
          assert.equal(data.length, dataBlocks * BLOCK);
          assert.equal(bytes, used.size * BLOCK);
        }),
        { numRuns: 40 },
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('refuses a device whose record and mappings do not agree', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-test-'));
    const device: BuiltDevice = {
      id: 1,
      creationTime: 0,
      snapTime: 0,
      mappings: new Map([[3, { data: 0, time: 0 }]]),
    };
    try {
      await assert.rejects(write(folder, [device], 4, 1), { code: 'damaged' });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

async function write(
  folder: string,
  devices: readonly BuiltDevice[],
  dataBlocks: number,
  wrongBy = 0,
): Promise<{ data: Buffer; xml: string; bytes: number }> {
  const [data, xml] = [path.join(folder, 'data'), path.join(folder, 'xml')];
  const files = { data: await open(data, 'w'), xml: await open(xml, 'w') };
  const info = { blockSize: BLOCK, dataTotal: dataBlocks * BLOCK, time: 99, transactionId: 7 } as PoolInfo;
  let bytes = 0;
  try {
    const writer = new PoolWriter(info, {
      ...files,
      dataBegin: 0,
      onBytes: (count) => {
        bytes += count;
      },
      signal: new AbortController().signal,
    });
    for (const device of devices)
      await writer.device(stillOf(device), {
        mapped: (device.mappings.size + wrongBy) * BLOCK,
        snapTime: device.snapTime,
      } as DeviceStatus);
    await writer.end(info);
    await files.data.truncate(info.dataTotal);
  } finally {
    await files.data.close();
    await files.xml.close();
  }
  return { data: await readFile(data), xml: await readFile(xml, 'utf8'), bytes };
}

function stillOf({ id, creationTime, mappings }: BuiltDevice): Parameters<PoolWriter['device']>[0] {
  const device = {
    id,
    name: `thin-${id}`,
    creationTime,
    transactionId: id,
  } as unknown as DeviceStatus;
  return {
    device,
    runs: () => runsOf(mappings),
    read: (offset, into) => {
      for (let at = 0; at < into.length; at += BLOCK) {
        const chunk = mappings.get((offset + at) / BLOCK)?.data;
        assert.ok(chunk !== undefined);
        into.set(contentOf(chunk), at);
      }
      return Promise.resolve();
    },
  };
}

async function* runsOf(mappings: BuiltDevice['mappings']): AsyncGenerator<MappingRun> {
  let run: { begin: number; chunk: number; length: number; time: number } | undefined;
  for (const [begin, { data: chunk, time }] of [...mappings].sort(([a], [b]) => a - b)) {
    if (run?.time === time && begin === run.begin + run.length && chunk === run.chunk + run.length)
      run.length++;
    else {
      if (run !== undefined) yield run;
      run = { begin, chunk, length: 1, time };
    }
  }
  if (run !== undefined) yield await Promise.resolve(run);
}

async function mappingsIn(xml: string): Promise<Map<number, [number, { data: number; time: number }][]>> {
  const devices = new Map<number, [number, { data: number; time: number }][]>();
  let current: [number, { data: number; time: number }][] = [];
  await parseDump([xml], {
    superblock: ({ time, transaction }) => assert.deepEqual([time, transaction], [99, 7]),
    poolFacts: () => assert.fail(),
    device: ({ id }) => devices.set(id, (current = [])),
    deviceFacts: () => assert.fail(),
    run: ({ begin, chunk, length, time }) => {
      for (let index = 0; index < length; index++)
        current.push([begin + index, { data: chunk + index, time }]);
    },
    endDevice: () => undefined,
  });
  return devices;
}

function sorted(mappings: BuiltDevice['mappings']): [number, { data: number; time: number }][] {
  return [...mappings].sort(([a], [b]) => a - b).map(([block, { data, time }]) => [block, { data, time }]);
}

function contentOf(chunk: number): Buffer {
  return Buffer.alloc(BLOCK, `chunk ${chunk}. `);
}

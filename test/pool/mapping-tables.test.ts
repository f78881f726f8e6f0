import assert from 'node:assert/strict';
import type { DeviceId } from '../../src/format/ids.js';
import type { DeviceIo } from '../../src/io/device-io.js';
import { MappingTables } from '../../src/pool/mapping-tables.js';
import type { PoolState } from '../../src/pool/pool-state.js';

class Table {
  tableSheets: number;

  constructor(sheets: number) {
    this.tableSheets = sheets;
  }

  forgetMappings(): void {
    this.tableSheets = 0;
  }
}

/** A pool in which the changes of a device are applied when the test says so. */
function poolOf(tables: readonly Table[]): { state: PoolState; goOn: () => void; fail: () => void } {
  let settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
  const committer = {
    applied: async (_io: DeviceIo, work: () => void) => {
      await new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
      work();
    },
  };
  const active = new Map(tables.map((table, id) => [id as DeviceId, table as unknown as DeviceIo]));
  return {
    state: { active, committer } as unknown as PoolState,
    goOn: () => settle?.resolve(),
    fail: () => settle?.reject(new Error('the store is gone')),
  };
}

describe('the memory of mapping tables', () => {
  it('is taken from the device with the largest table, once for all who wait', async () => {
    const tables = [3, 9, 5].map((sheets) => new Table(sheets));
    const { state, goOn } = poolOf(tables);
    const memory = new MappingTables(state);
    const waiting = [memory.makeRoom(), memory.makeRoom()];
    goOn();
    await Promise.all(waiting);
    assert.deepEqual(
      tables.map(({ tableSheets }) => tableSheets),
      [3, 0, 5],
    );
    const next = memory.makeRoom();
    goOn();
    await next;
    assert.deepEqual(
      tables.map(({ tableSheets }) => tableSheets),
      [3, 0, 0],
    );
  });

  it('is asked for anew after a failure, and by nobody where nothing is active', async () => {
    const table = new Table(4);
    const { state, goOn, fail } = poolOf([table]);
    const memory = new MappingTables(state);
    const first = memory.makeRoom();
    fail();
    await assert.rejects(first, /the store is gone/);
    const second = memory.makeRoom();
    goOn();
    await second;
    assert.equal(table.tableSheets, 0);
    await new MappingTables(poolOf([]).state).makeRoom();
  });
});

import assert from 'node:assert/strict';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import type { PoolState, SectorWorkload } from './sector-workload.js';

/** @param when for the message */
export async function assertClean(pool: ThinPool, when: string): Promise<void> {
  assert.deepEqual((await pool.check()).findings, [], when);
}

/**
 * The devices are those of one moment since the last promise, and each of their sectors is as at such a
 * moment: a disk keeps any of the sectors that nobody flushed, and so does a data file.
 */
export function assertSectorsBetween(found: PoolState, work: SectorWorkload, when: string): void {
  const moments = work.history.slice(work.durable);
  const names = (state: PoolState): string => [...state.keys()].sort().join(' ');
  assert.ok(
    moments.some((moment) => names(moment) === names(found)),
    `${when}: devices ${names(found)}`,
  );
  for (const [name, sectors] of found) {
    const versions = moments.map((moment) => moment.get(name)).filter((version) => version !== undefined);
    assert.ok(
      versions.some(({ length }) => length === sectors.length),
      `${when}: ${name} has ${sectors.length} sectors`,
    );
    const lost = sectors.findIndex((byte, at) => !versions.some((version) => (version[at] ?? 0) === byte));
    assert.ok(
      lost < 0,
      `${when}: ${name}, sector ${lost} is ${sectors[lost]}, and was ${versions.map((version) => version[lost]).join(', ')}`,
    );
  }
}

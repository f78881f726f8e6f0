import assert from 'node:assert/strict';
import type { SpaceEvent } from '../../src/pool/space-events.js';
import { lowWaterMark, SpaceWatch, thresholdOf } from '../../src/pool/space-watch.js';

const use = (used: number, total = 1000): { used: number; total: number; blockSize: number } => ({
  used,
  total,
  blockSize: 4096,
});

describe('space watch', () => {
  it('knows the thresholds of LVM and the marks of dm-thin', () => {
    assert.deepEqual(
      [0, 799, 800, 849, 850, 900, 950, 999, 1000].map((used) => thresholdOf(use(used))),
      [0, 0, 80, 80, 85, 90, 95, 95, 100],
    );
    assert.deepEqual(
      [lowWaterMark('data', 10 ** 7), lowWaterMark('data', 1000), lowWaterMark('metadata', 10 ** 6)],
      [32_768, 50, 1024],
    );
    assert.equal(lowWaterMark('metadata', 400), 100);
  });

  it('tells of each crossing once, and again only after it fell below', () => {
    const told: string[] = [];
    const watch = new SpaceWatch((event: SpaceEvent) => {
      told.push(event.kind === 'threshold' ? `${event.space} ${event.percent}` : event.kind);
    });
    for (const used of [100, 810, 820, 960, 970, 840, 860, 100, 900]) watch.note('data', use(used));
    assert.deepEqual(told, ['data 80', 'data 95', 'low-water', 'data 85', 'data 90']);
    watch.note('data', use(810, 1200));
    watch.note('metadata', use(750));
    assert.equal(told.at(-1), 'low-water');
  });
});

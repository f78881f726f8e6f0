import assert from 'node:assert/strict';
import { Worker } from 'node:worker_threads';
import { threadInts } from '../../src/threads/dirty-map.js';
import { syncMemory, SyncUnderWay } from '../../src/threads/sync-under-way.js';

const END_SYNC = `const { running, isOver } = require('node:worker_threads').workerData;
Atomics.store(isOver, 0, 1);
Atomics.store(running, 5, 0);
Atomics.notify(running, 5);`;

describe('a sync that is under way', () => {
  it('is awaited by those whose changes it covers, until it ends', async () => {
    const memory = syncMemory();
    const other = new SyncUnderWay(memory);
    const waiting: Promise<void>[] = [];
    new SyncUnderWay(memory).lead(7, () => {
      for (const position of [3, 7]) waiting.push(other.followInTurns(position));
    });
    await Promise.all(waiting);
  });

  it('does not hold up those whose changes came after it began', async () => {
    const memory = syncMemory();
    const other = new SyncUnderWay(memory);
    let later: Promise<void> | undefined;
    let covered: Promise<void> | undefined;
    const end = new Promise<void>((resolve) => {
      new SyncUnderWay(memory).lead(7, () => {
        other.follow(8);
        later = other.followInTurns(8);
        covered = other.followInTurns(7);
      });
      resolve();
    });
    await later;
    await end;
    await covered;
  });

  it('is awaited no longer than patience lasts', () => {
    const memory = syncMemory();
    let isOver = false;
    new SyncUnderWay(memory).lead(7, () => {
      new SyncUnderWay(memory).follow(7, 1);
      isOver = true;
    });
    assert(isOver);
  });

  it('ends where it fails, so that nobody waits for it', async () => {
    const memory = syncMemory();
    const other = new SyncUnderWay(memory);
    let covered = Promise.resolve();
    assert.throws(() => {
      new SyncUnderWay(memory).lead(7, () => {
        covered = other.followInTurns(7);
        throw new Error('EIO');
      });
    });
    await covered;
    other.follow(7);
  });

  it('lets a second one run beside it, and stays the one that others wait for', async () => {
    const memory = syncMemory();
    const [first, second] = [new SyncUnderWay(memory), new SyncUnderWay(memory)];
    const ran: string[] = [];
    let covered = Promise.resolve();
    first.lead(7, () => {
      second.lead(9, () => ran.push('second'));
      covered = second.followInTurns(7);
      ran.push('first');
    });
    await covered;
    assert.deepEqual(ran, ['second', 'first']);
  });

  it('returns when those that ran beside it have ended, and does not wait for later ones', async () => {
    const memory = syncMemory();
    const [first, second] = [new SyncUnderWay(memory), new SyncUnderWay(memory)];
    const ran: string[] = [];
    let end = (): void => undefined;
    const beside = first.runInTurns(async () => {
      await new Promise<void>((resolve) => (end = resolve));
      ran.push('first');
    });
    const own = second.runInTurns(() => Promise.resolve()).then(() => ran.push('second'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(ran, []);
    let endLater = (): void => undefined;
    const later = first.runInTurns(() => new Promise<void>((resolve) => (endLater = resolve)));
    end();
    await own;
    assert.deepEqual(ran, ['first', 'second']);
    endLater();
    await Promise.all([beside, later]);
  });

  it('is waited for by one that blocks its thread, and nobody waits for one that throws', () => {
    const memory = syncMemory();
    const underWay = new SyncUnderWay(memory);
    assert.throws(() => {
      underWay.run(() => {
        throw new Error('EIO');
      });
    });
    const isOver = threadInts(1);
    const { running } = memory;
    // As another thread does.
    Atomics.store(running, 5, 1);
    new Worker(END_SYNC, { eval: true, workerData: { running, isOver } }).unref();
    underWay.run(() => undefined);
    assert.equal(Atomics.load(isOver, 0), 1);
  });
});

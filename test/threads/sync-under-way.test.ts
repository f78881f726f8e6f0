import assert from 'node:assert/strict';
import { syncMemory, SyncUnderWay } from '../../src/threads/sync-under-way.js';

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
});

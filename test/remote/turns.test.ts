import assert from 'node:assert/strict';
import { TurnTable } from '../../src/remote/turns.js';

const turnsTaken = (): Promise<void> => new Promise(setImmediate);

describe('turns of requests to stores', () => {
  it('are so many at once, the urgent ones first, and fair among owners', async () => {
    const table = new TurnTable({ most: 2, ownMost: 2 });
    const began: string[] = [];
    const ends: (() => void)[] = [];
    const run = (owner: string, isUrgent: boolean, name: string): void =>
      void table.of(owner, isUrgent).run(() => {
        began.push(name);
        return new Promise<void>((resolve) => ends.push(resolve));
      });
    run('a', false, 'a1');
    run('a', false, 'a2');
    run('a', false, 'a3');
    run('a', true, 'a4');
    await turnsTaken();
    assert.deepEqual(began, ['a1', 'a2']);
    ends[0]!();
    await turnsTaken();
    assert.deepEqual(began, ['a1', 'a2', 'a4']);
  });

  it('are not held up by owners whose work stands still', async () => {
    const table = new TurnTable({ most: 4, ownMost: 2 });
    for (const owner of ['a', 'b', 'c'])
      for (let at = 0; at < 5; at++) void table.of(owner, true).run(() => new Promise<void>(() => undefined));
    let isDone = false;
    await table.of('d', false).run(() => {
      isDone = true;
      return Promise.resolve();
    });
    assert.ok(isDone);
  });
});

import assert from 'node:assert/strict';
import { ProjectionWriter } from '../../src/service/projection-writer.js';
import { FakePool } from '../support/fake-pool.js';

describe('projection writer', () => {
  it('never writes twice at once, and one more time for all that came meanwhile', async () => {
    let writing = 0;
    let written = 0;
    const writer = new ProjectionWriter(
      new FakePool(),
      async () => {
        writing++;
        assert.equal(writing, 1);
        await new Promise((resolve) => setImmediate(resolve));
        writing--;
        written++;
      },
      () => assert.fail('nothing fails here'),
    );
    const first = writer.refresh();
    await Promise.resolve();
    await Promise.all([first, writer.refresh(), writer.refresh(), writer.refresh()]);
    assert.equal(written, 2);
  });

  it('writes once for changes in quick succession, and says when it has', async () => {
    let written = 0;
    const writer = new ProjectionWriter(
      new FakePool(),
      () => {
        written++;
        return Promise.resolve();
      },
      () => assert.fail('nothing fails here'),
    );
    await writer.settled();
    for (let change = 0; change < 5; change++) writer.follow();
    assert.equal(written, 0, 'nobody waits for it');
    await writer.settled();
    assert.equal(written, 1);
    writer.follow();
    await writer.settled();
    assert.equal(written, 2);
  });

  it('tells of a failure, does not fail, and tries again at the next change', async () => {
    const told: unknown[] = [];
    let failing = true;
    const writer = new ProjectionWriter(
      new FakePool(),
      async () => {
        if (failing) throw new Error('disk full');
      },
      (error) => told.push(error),
    );
    await writer.refresh();
    failing = false;
    await writer.refresh();
    assert.equal(told.length, 1);
  });
});

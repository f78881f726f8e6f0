import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ThinError } from '../../src/errors/thin-error.js';
import type { RemoteImage } from '../../src/format/remote-image.js';
import { NotedSource } from '../../src/daemon/noted-source.js';
import { eventually } from '../support/eventually.js';
import { IMAGE, MemorySource } from '../support/memory-source.js';

const image = (note: string): RemoteImage => ({ ...IMAGE, note, family: 1, isHydrating: false });

describe('NotedSource', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const open = (inner = new MemorySource([])): { inner: MemorySource; source: NotedSource } => ({
    inner,
    source: new NotedSource(inner, path.join(folder, 'notes.json'), 10),
  });
  const find = (source: NotedSource, note: string): Promise<unknown> =>
    source.find({ reference: 's3://bucket/place:web', keyFile: '', note, settings: {} });
  const attach = async (source: NotedSource, note: string): Promise<void> => {
    for await (const _ of source.changesOf(image(note), { below: undefined, blocksEach: 1, timeoutMs: 1 }))
      assert.ok(_);
  };

  it('takes away what a process that died has told a store for a device that it did not make', async () => {
    const first = open();
    await find(first.source, 'made');
    await attach(first.source, 'made');
    await find(first.source, 'lost');
    const { inner, source } = open();
    await source.settle([image('made')]);
    await eventually('a note is taken away', () => inner.released.length > 0);
    assert.deepEqual(inner.released, ['lost']);
    await source.close();
  });

  it('and the note of an image that nobody needed any more when the process ended', async () => {
    const first = open();
    await find(first.source, 'unused');
    await attach(first.source, 'unused');
    await first.source.close();
    const { inner, source } = open();
    await source.settle([]);
    await eventually('a note is taken away', () => inner.released.length > 0);
    assert.deepEqual(inner.released, ['unused']);
    await source.close();
    const third = open();
    await third.source.settle([]);
    await find(third.source, 'other');
    assert.deepEqual(third.inner.released, []);
    await third.source.close();
  });

  it('tries again where the store is away', async () => {
    const { inner, source } = open();
    await find(source, 'stays');
    let tries = 0;
    inner.release = ({ note }) => {
      if (++tries < 3) return Promise.reject(new ThinError('io', 'the store is away'));
      inner.released.push(note);
      return Promise.resolve();
    };
    await assert.rejects(source.release(image('stays')), /away/);
    await eventually('a note is taken away', () => inner.released.length > 0);
    assert.equal(tries, 3);
    await source.close();
  });

  it('claims once more what is let go of while a device is made of it after all', async () => {
    const first = open();
    await find(first.source, 'late');
    const { inner, source } = open();
    const steps: string[] = [];
    let isBegun = false;
    inner.release = async () => {
      isBegun = true;
      await new Promise((resolve) => setTimeout(resolve, 50));
      steps.push('released');
    };
    await source.settle([]);
    await eventually('it begins', () => isBegun);
    await attach(source, 'late');
    steps.push('attached');
    assert.deepEqual(steps, ['released', 'attached']);
    await source.close();
    const third = open();
    await third.source.settle([]);
    await eventually('a note is taken away', () => third.inner.released.length > 0);
    assert.deepEqual(third.inner.released, ['late'], 'it is remembered');
    await third.source.close();
  });
});

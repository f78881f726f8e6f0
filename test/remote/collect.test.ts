import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ThinError, toThinError } from '../../src/errors/thin-error.js';
import { IMAGE_BLOCK } from '../../src/format/remote-image.js';
import { BlockSeal } from '../../src/remote/block-seal.js';
import { CodecPool } from '../../src/remote/codec-pool.js';
import { Collection, type Collected } from '../../src/remote/collect.js';
import { blobsOf, ImageReader } from '../../src/remote/image-reader.js';
import { unpackOpenManifest } from '../../src/remote/manifest.js';
import { PullClaim } from '../../src/remote/pull-claim.js';
import { Push } from '../../src/remote/push.js';
import { MemoryRemote, MemoryShelf, type RemoteFaults } from '../support/memory-remote.js';
import { RemoteDeviceModel } from '../support/remote-device.js';

/** Of each of four that push, remove and collect at the same time; a long run sets the variable. */
const ROUNDS = Number(process.env['THINFUSE_REMOTE_ROUNDS'] ?? 40);
const HOUR = 3_600_000;

function block(seed: number): Uint8Array {
  return createHash('shake256', { outputLength: IMAGE_BLOCK }).update(`${seed}`).digest();
}

describe('a collection', () => {
  let codecs: CodecPool;
  let shelf: MemoryShelf;
  const seal = new BlockSeal(undefined);
  const signal = new AbortController().signal;
  before(() => (codecs = new CodecPool(undefined, 2)));
  after(() => codecs.close());
  beforeEach(() => (shelf = new MemoryShelf()));

  function push(device: RemoteDeviceModel, tag: string, store = new MemoryRemote(shelf)): Promise<unknown> {
    const parts = { store, source: device.source(), codecs, seal, maker: 'test', signal };
    return new Push({ ...parts, isGone: () => Promise.resolve(true) })
      .run(tag)
      .then(({ image }) => device.notePushed(image));
  }

  function collect(graceMs: number, store = new MemoryRemote(shelf)): Promise<Collected> {
    return new Collection(store, { graceMs, openingMs: 500, signal }).run();
  }

  function assertWhole(): void {
    for (const [tag, { image }] of shelf.tags) {
      const bytes = shelf.blobs.get(`manifest/${image}`);
      assert.ok(bytes, `the image of ${tag} is there`);
      for (const { kind, digest } of blobsOf(unpackOpenManifest(bytes, tag)))
        assert.ok(shelf.blobs.has(`${kind}/${digest}`), `${kind} ${digest} of ${tag} is there`);
    }
  }

  it('marks first, removes when the grace is over, and keeps what a tag leads to', async () => {
    const [one, two] = [new RemoteDeviceModel('one', 100), new RemoteDeviceModel('two', 100)];
    for (let at = 0; at < 5; at++) {
      one.write(at, block(at));
      two.write(at, block(100 + at));
    }
    await push(one, 'one');
    await push(two, 'two');
    assert.equal((await collect(HOUR)).waiting, 0);
    await new MemoryRemote(shelf).removeTag('one');
    shelf.now += HOUR;
    const first = await collect(HOUR);
    assert.deepEqual([first.kept, first.waiting, first.removed], [3, 3, 0]);
    shelf.now += HOUR - 1;
    assert.equal((await collect(HOUR)).removed, 0);
    shelf.now += 1;
    const last = await collect(HOUR);
    assert.deepEqual([last.kept, last.waiting, last.removed], [3, 0, 3]);
    assert.equal(shelf.blobs.size, 3);
    assertWhole();
    await collect(HOUR);
    assert.deepEqual(
      [...shelf.notes.keys()].filter((key) => !key.startsWith('mark/')),
      [],
    );
  });

  it('keeps what a push has put that was cut off, for a week', async () => {
    const device = new RemoteDeviceModel('web', 1000);
    for (let at = 0; at < 300; at++) device.write(at, block(at));
    const cut = new MemoryRemote(shelf, {
      refuse: (call) => (call.startsWith('put index') ? new ThinError('io', 'cut') : undefined),
    });
    await assert.rejects(push(device, 'latest', cut));
    const there = shelf.blobs.size;
    assert.ok(there > 0);
    shelf.now += 48 * HOUR;
    await collect(0);
    assert.equal(shelf.blobs.size, there);
    shelf.now += 8 * 24 * HOUR;
    await collect(0);
    assert.equal(shelf.blobs.size, 0);
  });

  describe('beside a pull', () => {
    let device: RemoteDeviceModel;
    let reader: ImageReader;
    let claim: PullClaim;
    beforeEach(async () => {
      device = new RemoteDeviceModel('web', 100);
      device.write(1, block(1));
      await push(device, 'latest');
      reader = new ImageReader(new MemoryRemote(shelf), seal);
      claim = new PullClaim(reader, 'note', { source: 'pull', maker: 'test' });
    });
    const remove = (): Promise<void> => new MemoryRemote(shelf).removeTag('latest');

    it('keeps what one has found that has not said yet what it needs, though its tag goes', async () => {
      const image = await claim.find();
      await remove();
      await collect(0);
      shelf.now += 1;
      const collecting = collect(0);
      await sleep(300);
      assert.equal(shelf.blobs.size, 3);
      await claim.take(image);
      assert.equal((await collecting).removed, 0);
      assert.deepEqual(
        [...shelf.notes.keys()].filter((key) => key.startsWith('pull/')),
        ['pull/note'],
      );
      shelf.now += 24 * HOUR;
      assert.equal((await collect(0)).removed, 0);
      await claim.end();
      assert.equal((await collect(0)).removed, 3);
    });

    it('believes a note that says no more for four minutes alone', async () => {
      await claim.find();
      await remove();
      await collect(0);
      shelf.now += 240_000 - 1000;
      assert.equal((await collect(0)).removed, 0);
      shelf.now += 1000;
      assert.equal((await collect(0)).removed, 3);
    });

    it('leaves no note of one whose first question fails while the note is written', async () => {
      class Slow extends MemoryRemote {
        override tag(): ReturnType<MemoryRemote['tag']> {
          return Promise.reject(new ThinError('io', 'away'));
        }
        override async putNote(...args: Parameters<MemoryRemote['putNote']>): Promise<void> {
          await sleep(50);
          await super.putNote(...args);
        }
      }
      const failing = new PullClaim(new ImageReader(new Slow(shelf), seal), 'failing', {
        source: 'pull',
        maker: 'test',
      });
      await assert.rejects(failing.find());
      await failing.end();
      await sleep(100);
      assert.deepEqual([...shelf.notes.keys()], []);
    });

    it('believes the note of one that fetched all and was killed for a week alone', async () => {
      const about = { source: 'pull', maker: 'test' };
      const full = new PullClaim(reader, 'full', about, 'push');
      await full.take(await reader.named({ kind: 'tag', tag: 'latest' }));
      await remove();
      await collect(0);
      shelf.now += HOUR;
      assert.equal((await collect(0)).removed, 0);
      shelf.now += 7 * 24 * HOUR;
      assert.equal((await collect(0)).removed, 3);
    });

    it('gives one whose tag moves meanwhile what the tag leads to then', async () => {
      const before = shelf.tags.get('latest')!.image;
      device.write(2, block(2));
      class Moving extends MemoryRemote {
        #tags = 0;
        override async tag(tag: string): ReturnType<MemoryRemote['tag']> {
          if (++this.#tags === 2) {
            await push(device, tag);
            await collect(0);
          }
          return super.tag(tag);
        }
      }
      const slow = new Moving(shelf);
      const late = new PullClaim(new ImageReader(slow, seal), 'late', { source: 'pull', maker: 'test' });
      const image = await late.find();
      assert.notEqual(image.digest, before);
      assert.equal(image.digest, shelf.tags.get('latest')!.image);
      assertWhole();
    });

    it('lets one whose credentials only read know that nobody is told', async () => {
      const readOnly = new MemoryRemote(shelf, {
        refuse: (call) => (call.startsWith('putNote') ? new ThinError('permission', 'no') : undefined),
      });
      const mine = new PullClaim(new ImageReader(readOnly, seal), 'mine', { source: 'pull', maker: 'test' });
      await mine.take(await mine.find());
      assert.equal(mine.isTaken, false);
    });
  });

  it('does not go on where it cannot tell what an image needs', async () => {
    const device = new RemoteDeviceModel('web', 100);
    device.write(1, block(1));
    await push(device, 'latest');
    const { image } = shelf.tags.get('latest')!;
    const text = Buffer.from(shelf.blobs.get(`manifest/${image}`)!).toString();
    shelf.blobs.set(`manifest/${image}`, Buffer.from(text.replace('"version":1', '"version":2')));
    const store = new MemoryRemote(shelf);
    await assert.rejects(collect(0, store), (error: unknown) =>
      ['wrong-version', 'damaged'].includes(toThinError(error).code),
    );
    assert.equal(shelf.blobs.size, 3);
  });

  it(`breaks no image while ${ROUNDS} rounds of pushes, removals and collections go on at once`, async function () {
    this.timeout(0);
    const random = mulberry(Number(process.env['THINFUSE_SEED'] ?? 7));
    let changes = 0;
    const faults: RemoteFaults = {
      delay: () => (random() < 0.05 ? 1 : 0),
      refuse: () => (random() < 0.01 ? new ThinError('io', 'away') : undefined),
      lose: () => (random() < 0.01 ? new ThinError('io', 'answer lost') : undefined),
    };
    const watched = (): MemoryRemote =>
      new MemoryRemote(shelf, {
        ...faults,
        refuse: (call) => {
          assertWhole();
          shelf.now += 1;
          return faults.refuse?.(call);
        },
      });
    const expected = (error: unknown): void => {
      const { code, message } = toThinError(error);
      assert.ok(['io', 'busy', 'not-found', 'damaged'].includes(code), `${code}: ${message}`);
    };
    const pusher = async (number: number): Promise<void> => {
      const device = new RemoteDeviceModel(`device-${number}`, 200);
      for (let round = 0; round < ROUNDS; round++) {
        // Few contents, so that one pushes what another has just let go of.
        for (let count = 0; count < 3; count++)
          device.write(Math.floor(random() * 20), block(Math.floor(random() * 30)));
        changes++;
        await push(device, `tag-${Math.floor(random() * 3)}`, watched()).catch(expected);
      }
    };
    const remover = async (): Promise<void> => {
      for (let round = 0; round < ROUNDS; round++)
        await watched()
          .removeTag(`tag-${Math.floor(random() * 3)}`)
          .catch(expected);
    };
    let isOver = false;
    const collector = async (): Promise<number> => {
      let removed = 0;
      while (!isOver)
        removed += await collect(0, watched()).then(
          (done) => done.removed,
          (error: unknown) => (expected(error), 0),
        );
      return removed;
    };
    const collectors = [collector(), collector()];
    await Promise.all([pusher(1), pusher(2), remover()]);
    isOver = true;
    const removed = (await Promise.all(collectors)).reduce((sum, count) => sum + count, 0);
    assertWhole();
    assert.ok(removed > 0, `something was removed after ${changes} changes`);
  });
});

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

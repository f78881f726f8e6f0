import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { digestOf, type Digest } from '../../src/remote/digest.js';
import type { RemoteStore } from '../../src/remote/remote-store.js';

/** What every store does. `open`: the same empty place each time within one test. */
export function remoteStoreContract(name: string, open: () => Promise<RemoteStore>): void {
  describe(`${name}: a store of images`, () => {
    let store: RemoteStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    async function put(size: number): Promise<{ digest: Digest; bytes: Buffer }> {
      const bytes = randomBytes(size);
      const digest = digestOf(bytes);
      await store.put('pack', digest, bytes);
      return { digest, bytes };
    }

    async function image(): Promise<Digest> {
      const pack = await put(1000);
      const bytes = Buffer.from(JSON.stringify({ pack: pack.digest }));
      const digest = digestOf(bytes);
      await store.putImage(digest, bytes, [{ kind: 'pack', digest: pack.digest, size: 1000 }]);
      return digest;
    }

    it('gives back what was put, whole and in ranges', async () => {
      const { digest, bytes } = await put(300_000);
      assert.deepEqual(Buffer.from(await store.read('pack', digest)), bytes);
      assert.deepEqual(
        Buffer.from(await store.read('pack', digest, { offset: 65_000, length: 70_001 })),
        bytes.subarray(65_000, 135_001),
      );
      assert.deepEqual(
        Buffer.from(await store.read('pack', digest, { offset: 299_999, length: 1 })),
        bytes.subarray(299_999),
      );
    });

    it('takes the same twice, and 16 MiB', async () => {
      const { digest, bytes } = await put(16 * 2 ** 20);
      await store.put('pack', digest, bytes);
      assert.equal(await store.size('pack', digest), bytes.length);
    });

    it('says what is not there', async () => {
      const nothing = digestOf(randomBytes(8));
      assert.equal(await store.size('pack', nothing), undefined);
      assert.equal(await store.tag('nothing'), undefined);
      assert.equal(await store.readNote('push', 'nothing'), undefined);
      await assert.rejects(store.read('index', nothing), { code: 'not-found' });
      await assert.rejects(store.read('pack', nothing, { offset: 0, length: 5 }), { code: 'not-found' });
      await assert.rejects(store.removeTag('nothing'), { code: 'not-found' });
      await store.removeNote('push', 'nothing');
    });

    it('has tags that move from the state that was seen', async () => {
      const [first, second] = [await image(), await image()];
      assert.equal(await store.moveTag('v1.0_a', first, undefined), true);
      const seen = await store.tag('v1.0_a');
      assert.equal(seen?.image, first);
      assert.equal(await store.moveTag('v1.0_a', second, undefined), false);
      assert.equal(await store.moveTag('v1.0_a', second, seen), true);
      assert.equal((await store.tag('v1.0_a'))?.image, second);
      assert.equal(await store.moveTag('v1.0_a', first, seen), false);
      assert.equal((await store.tag('v1.0_a'))?.image, second);
    });

    it('lists tags, and takes one away without another of the same image', async () => {
      const digest = await image();
      for (const tag of ['one', 'two']) await store.moveTag(tag, digest, undefined);
      assert.deepEqual((await all(store.tags())).sort(), ['one', 'two']);
      await store.removeTag('one');
      assert.deepEqual(await all(store.tags()), ['two']);
      assert.equal((await store.tag('two'))?.image, digest);
      assert.ok((await store.read('manifest', digest)).length > 0);
    });

    it('knows an image by the digest that users see', async () => {
      const digest = await image();
      assert.equal(await store.imageOf(digest), digest);
    });

    it('keeps notes of pushes', async () => {
      const { digest } = await put(10);
      await store.putNote('push', 'a-1', Buffer.from('first'), [{ kind: 'pack', digest, size: 10 }]);
      await store.putNote('push', 'a-1', Buffer.from('second'), [{ kind: 'pack', digest, size: 10 }]);
      assert.equal(Buffer.from((await store.readNote('push', 'a-1')) ?? []).toString(), 'second');
      assert.deepEqual(
        (await all(store.notes('push'))).map(({ id }) => id),
        ['a-1'],
      );
      await store.removeNote('push', 'a-1');
      assert.deepEqual(await all(store.notes('push')), []);
    });

    it('lists and removes, where it does not collect by itself', async function () {
      if (!store.isCollected) this.skip();
      const digests: Digest[] = [];
      for (let count = 0; count < 5; count++) digests.push((await put(100 + count)).digest);
      const listed = await all(store.list('pack'));
      for (const [index, digest] of digests.entries())
        assert.equal(listed.find((blob) => blob.digest === digest)?.size, 100 + index);
      await store.remove('pack', digests[0]!);
      await store.remove('pack', digests[0]!);
      assert.equal(await store.size('pack', digests[0]!), undefined);
      assert.ok(!(await all(store.list('pack'))).some(({ digest }) => digest === digests[0]));
    });
  });
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { ThinError } from '../../src/errors/thin-error.js';
import { IMAGE_BLOCK } from '../../src/format/remote-image.js';
import { BlockSeal } from '../../src/remote/block-seal.js';
import { CodecPool } from '../../src/remote/codec-pool.js';
import { ImageReader } from '../../src/remote/image-reader.js';
import { unpackPack } from '../../src/remote/pack.js';
import { FullPull } from '../../src/remote/pull.js';
import { Push, type Pushed } from '../../src/remote/push.js';
import { MemoryRemote } from '../support/memory-remote.js';
import { RemoteDeviceModel } from '../support/remote-device.js';

/** Half of it repeats, so that it packs. */
function block(seed: number): Uint8Array {
  const piece = createHash('shake256', { outputLength: IMAGE_BLOCK / 2 })
    .update(`${seed}`)
    .digest();
  return Buffer.concat([piece, Buffer.alloc(IMAGE_BLOCK / 2, seed)]);
}

for (const key of [undefined, randomBytes(32)])
  describe(`push and pull${key === undefined ? '' : ', encrypted'}`, () => {
    let codecs: CodecPool;
    let store: MemoryRemote;
    const seal = new BlockSeal(key);
    before(() => (codecs = new CodecPool(key, 2)));
    after(() => codecs.close());
    beforeEach(() => (store = new MemoryRemote()));

    function push(device: RemoteDeviceModel, tag = 'latest'): Promise<Pushed> {
      return pushTo(store, device, tag);
    }

    async function pushTo(to: MemoryRemote, device: RemoteDeviceModel, tag: string): Promise<Pushed> {
      const pushed = await new Push({
        store: to,
        source: device.source(),
        codecs,
        seal,
        maker: 'test',
        isGone: () => Promise.resolve(true),
        signal: new AbortController().signal,
      }).run(tag);
      device.notePushed(pushed.image);
      return pushed;
    }

    async function pulled(tag = 'latest', from = store): Promise<Map<number, Uint8Array>> {
      const reader = new ImageReader(from, seal);
      const image = await reader.named({ kind: 'tag', tag });
      const blocks = new Map<number, Uint8Array>();
      await new FullPull({
        reader,
        image,
        codecs,
        write: (offset, bytes) => {
          assert.ok(!blocks.has(offset / IMAGE_BLOCK), 'a block is written once');
          blocks.set(offset / IMAGE_BLOCK, new Uint8Array(bytes));
          return Promise.resolve();
        },
        signal: new AbortController().signal,
      }).run();
      return blocks;
    }

    async function assertSame(device: RemoteDeviceModel, tag = 'latest'): Promise<void> {
      const here = [...device.blocks].filter(([, bytes]) => bytes.some((byte) => byte !== 0));
      const there = await pulled(tag);
      assert.equal(there.size, here.length);
      for (const [number, bytes] of here)
        assert.deepEqual(Buffer.from(there.get(number) ?? []), Buffer.from(bytes));
    }

    it('lay copies of what a start reads together, and keep them until a start reads something else', async () => {
      const device = new RemoteDeviceModel('web', 40_000);
      for (let at = 0; at < 60; at++) device.write(at * 601, block(at));
      // One that is not there, one twice, and one behind the end.
      device.start = [3 * 601, 5, 601, 3 * 601, 50_000];
      const start = async (image: Pushed['image']): Promise<{ names: unknown[]; digest: unknown }> => {
        const { manifest } = await new ImageReader(store, seal).image(image);
        const pack = await store.read('pack', manifest.start!);
        return {
          names: unpackPack(pack, seal, 'start').map(({ name }) => name),
          digest: manifest.start,
        };
      };
      const first = await start((await push(device)).image);
      assert.deepEqual(first.names, [seal.nameOf(block(3)), seal.nameOf(block(1))]);
      await assertSame(device);
      // What is known already, and nothing.
      for (const again of [[601], []]) {
        device.start = again;
        device.write(9 * 601, block(100 + again.length));
        assert.deepEqual(await start((await push(device)).image), first);
        await assertSame(device);
      }
      device.start = [601, 4 * 601];
      const other = await start((await push(device)).image);
      assert.deepEqual(other.names, [seal.nameOf(block(1)), seal.nameOf(block(4))]);
      await assertSame(device);
    });

    it('bring a device into a store and out of it again', async () => {
      const device = new RemoteDeviceModel('web', 40_000);
      for (let at = 0; at < 60; at++) device.write(at * 601, block(at));
      device.write(7, new Uint8Array(IMAGE_BLOCK));
      const pushed = await push(device);
      assert.equal(pushed.blocks, 60);
      await assertSame(device);
      assert.deepEqual([...store.shelf.notes.keys()], []);
    });

    it('read and send of a second push what differs', async () => {
      const device = new RemoteDeviceModel('web', 40_000);
      for (let at = 0; at < 200; at++) device.write(at * 170, block(at));
      const first = await push(device);
      device.read = 0;
      device.write(170, block(1000));
      device.write(340, undefined);
      device.write(341, block(9));
      const second = await push(device);
      assert.equal(second.parent, first.image);
      assert.equal(device.read, 2 * IMAGE_BLOCK);
      assert.ok(
        second.sent < 2 * IMAGE_BLOCK,
        'one block is new, and the other lies elsewhere in the device',
      );
      await assertSame(device);
    });

    it('send nothing of what another image has', async () => {
      const [one, two] = [new RemoteDeviceModel('one', 1000), new RemoteDeviceModel('two', 1000)];
      for (let at = 0; at < 50; at++) {
        one.write(at, block(at));
        two.write(500 - at, block(at));
      }
      await push(one, 'one');
      assert.equal((await push(two, 'two')).sent, 0);
      await assertSame(two, 'two');
    });

    it('go on with a push that was cut off', async () => {
      const device = new RemoteDeviceModel('web', 2000);
      for (let at = 0; at < 1200; at++) device.write(at, block(at));
      let packs = 0;
      const cut = new MemoryRemote(store.shelf, {
        refuse: (call) =>
          call.startsWith('put pack') && ++packs > 1 ? new ThinError('io', 'the link is cut') : undefined,
      });
      await assert.rejects(pushTo(cut, device, 'latest'), { code: 'io' });
      assert.equal(store.shelf.tags.size, 0);
      const there = [...store.shelf.blobs.values()].reduce((sum, { length }) => sum + length, 0);
      assert.ok(there > 10 * 2 ** 20);
      const pushed = await push(device);
      const whole = [...store.shelf.blobs].filter(([name]) => name.startsWith('pack/'));
      const all = whole.reduce((sum, [, { length }]) => sum + length, 0);
      assert.ok(pushed.sent <= all - there, `${pushed.sent} of ${all} were sent, and ${there} were there`);
      await assertSame(device);
      assert.deepEqual([...store.shelf.notes.keys()], [], 'the note of the first is taken away');
    });

    it('refuse to move a tag that another push has moved', async () => {
      const device = new RemoteDeviceModel('web', 100);
      device.write(1, block(1));
      await push(device);
      const slow = new MemoryRemote(store.shelf, {
        refuse: (call) => {
          if (call.startsWith('put manifest')) {
            const { image } = store.shelf.tags.get('latest')!;
            store.shelf.tags.set('latest', { image, version: 'other' });
          }
          return undefined;
        },
      });
      await assert.rejects(pushTo(slow, device, 'latest'), { code: 'busy' });
    });

    it('give nothing away that is not as it was pushed', async () => {
      const device = new RemoteDeviceModel('web', 100);
      for (let at = 0; at < 10; at++) device.write(at, block(at));
      await push(device);
      for (const kind of ['pack', 'index', 'manifest']) {
        const spoilt = new MemoryRemote(store.shelf, {
          spoil: (read, bytes) => {
            if (read !== kind) return bytes;
            const other = new Uint8Array(bytes);
            other[other.length >> 1]! ^= 1;
            return other;
          },
        });
        await assert.rejects(pulled('latest', spoilt), { code: 'damaged' }, kind);
      }
    });

    if (key !== undefined)
      it('tell a wrong key, and show neither names nor content without one', async () => {
        const device = new RemoteDeviceModel('secret-name', 100);
        device.write(1, block(1));
        await push(device);
        for (const other of [undefined, randomBytes(32)]) {
          const reader = new ImageReader(store, new BlockSeal(other));
          await assert.rejects(reader.named(), { code: 'permission' });
        }
        for (const bytes of store.shelf.blobs.values()) {
          assert.ok(!Buffer.from(bytes).includes('secret-name'));
          assert.ok(!Buffer.from(bytes).includes(createHash('sha256').update(block(1)).digest()));
        }
      });
  });

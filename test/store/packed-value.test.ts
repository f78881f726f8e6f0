import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { pack, unpack } from '../../src/store/packed-value.js';

describe('a packed value', () => {
  const text = Buffer.from('thin '.repeat(2000));

  for (const codec of ['lz4', 'zstd'] as const) {
    it(`comes back as it was, with ${codec}`, async () => {
      const packed = await pack(text, codec);
      assert(packed !== undefined && packed.length < text.length / 4);
      assert.deepEqual(Buffer.from(await unpack(packed, text.length, 'chunk 1')), text);
    });

    it(`is not made of random bytes, with ${codec}`, async () => {
      assert.equal(await pack(randomBytes(65536), codec), undefined);
    });

    it(`is damaged when it unpacks to more than it may, or is cut, with ${codec}`, async () => {
      const packed = (await pack(text, codec))!;
      await assert.rejects(unpack(packed, text.length - 1, 'chunk 1'), { code: 'damaged' });
      const cut = Buffer.concat([packed.subarray(0, 3), packed.subarray(-1)]);
      await assert.rejects(unpack(cut, text.length, 'chunk 1'), { code: 'damaged' });
    });
  }

  it('of a codec that is not known is of a newer program', async () => {
    await assert.rejects(unpack(Uint8Array.of(1, 2, 3, 99), 10, 'chunk 1'), { code: 'wrong-version' });
    await assert.rejects(unpack(new Uint8Array(), 10, 'chunk 1'), { code: 'damaged' });
  });
});

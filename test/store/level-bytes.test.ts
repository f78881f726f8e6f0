import assert from 'node:assert/strict';
import { mask, unpackInternalKey, VarintReader } from '../../src/store/level-bytes.js';

describe("LevelDB's bytes", () => {
  it('have numbers of seven bits a byte', () => {
    const reader = new VarintReader(Uint8Array.of(0x05, 0xac, 0x02, 0x02, 0x61, 0x62));
    assert.equal(reader.number(), 5);
    assert.equal(reader.number(), 300);
    assert.equal(Buffer.from(reader.bytes()).toString(), 'ab');
    assert(reader.ended && !reader.overrun);
  });

  it('say when they end too early', () => {
    const number = new VarintReader(Uint8Array.of(0x80));
    assert.equal(number.number(), 0);
    assert(number.overrun);
    const bytes = new VarintReader(Uint8Array.of(0x03, 0x61));
    assert.equal(bytes.bytes().length, 0);
    assert(bytes.overrun);
  });

  it('mask a checksum as util/crc32c.h does', () => {
    assert.equal(mask(0), 0xa282ead8);
    assert.equal(mask(0x8000), (1 + 0xa282ead8) >>> 0);
  });

  it('end a key with its sequence number and kind', () => {
    const key = Uint8Array.of(0x61, 1, 0x07, 0, 0, 0, 0, 0, 1);
    const unpacked = unpackInternalKey(key);
    assert.deepEqual(unpacked, { key: Uint8Array.of(0x61), sequence: 7 + 2 ** 48, type: 1 });
    assert.equal(unpackInternalKey(Uint8Array.of(1, 2, 3)), undefined);
  });
});

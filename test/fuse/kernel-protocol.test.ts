import assert from 'node:assert/strict';
import { directoryAttributes } from '../../src/fuse/image-access.js';
import {
  Opcode,
  packAttributes,
  packDirectory,
  packEntry,
  packError,
  packInit,
  packLseek,
  packOpen,
  packStatfs,
  packWrite,
  readFallocate,
  readForgets,
  readInHeader,
  readInit,
  readLseek,
  readName,
  readRange,
  readSetattr,
} from '../../src/fuse/kernel-protocol.js';
import { request } from '../support/fuse-request.js';

/** As it comes again after FUSE_NOTIFY_RESEND: the top bit set. */
const RESENT = 2n ** 63n + 7n;
const BIG = 70 * 1024 ** 4 + 5;

describe('FUSE protocol: requests', () => {
  it('reads the header', () => {
    const message = request(Opcode.READ, { unique: RESENT, nodeId: 2 ** 40 + 3, pid: 77 });
    const header = readInHeader(message);
    assert.deepEqual(header, { length: 40, opcode: 15, unique: RESENT, nodeId: 2 ** 40 + 3, pid: 77 });
  });

  it('reads names up to their NUL, as UTF-8', () => {
    assert.equal(readName(request(Opcode.LOOKUP, {}, Buffer.from('docker-8:1-2-ü\0rest'))), 'docker-8:1-2-ü');
  });

  it('reads 64-bit offsets and handles', () => {
    const body = Buffer.alloc(40);
    body.writeBigUInt64LE(9n, 0);
    body.writeBigUInt64LE(BigInt(BIG), 8);
    body.writeUInt32LE(4096, 16);
    const message = request(Opcode.READ, {}, body);
    assert.deepEqual(readRange(message), { handle: 9, offset: BIG, size: 4096 });
    assert.deepEqual(readLseek(message), { handle: 9, offset: BIG, whence: 4096 });
    body.writeBigUInt64LE(BigInt(BIG) + 1n, 16);
    body.writeUInt32LE(3, 24);
    assert.deepEqual(readFallocate(request(Opcode.FALLOCATE, {}, body)), {
      handle: 9,
      offset: BIG,
      length: BIG + 1,
      mode: 3,
    });
  });

  it('reads init, setattr and forgets', () => {
    const init = Buffer.alloc(64);
    [7, 45, 131072, 0xffffffff, 1 << 7].forEach((value, i) => init.writeUInt32LE(value, i * 4));
    const offered = { major: 7, minor: 45, maxReadahead: 131072, flags: 0xffffffff, flags2: 1 << 7 };
    assert.deepEqual(readInit(request(Opcode.INIT, {}, init)), offered);

    const setattr = Buffer.alloc(88);
    setattr.writeUInt32LE(8, 0);
    setattr.writeBigUInt64LE(BigInt(BIG), 16);
    assert.deepEqual(readSetattr(request(Opcode.SETATTR, {}, setattr)), { valid: 8, size: BIG });

    const one = Buffer.alloc(8);
    one.writeBigUInt64LE(5n);
    const forget = request(Opcode.FORGET, { nodeId: 3 }, one);
    assert.deepEqual(readForgets(forget, readInHeader(forget)), [{ nodeId: 3, count: 5 }]);
    const many = Buffer.alloc(8 + 32);
    many.writeUInt32LE(2);
    [4n, 1n, 5n, 2n].forEach((value, i) => many.writeBigUInt64LE(value, 8 + i * 8));
    const batch = request(Opcode.BATCH_FORGET, {}, many);
    assert.deepEqual(readForgets(batch, readInHeader(batch)), [
      { nodeId: 4, count: 1 },
      { nodeId: 5, count: 2 },
    ]);
  });
});

describe('FUSE protocol: replies', () => {
  it('carries length, negated errno and the unique as it came', () => {
    const reply = packError(RESENT, 28);
    assert.deepEqual(
      [reply.readUInt32LE(0), reply.readInt32LE(4), reply.readBigUInt64LE(8)],
      [16, -28, RESENT],
    );
  });

  it('has the sizes that the kernel asks for', () => {
    const attributes = directoryAttributes(0);
    const sizes = [
      packEntry(1n, 2, attributes),
      packAttributes(1n, 2, attributes),
      packOpen(1n, 1, 0),
      packWrite(1n, 1),
      packLseek(1n, 1),
      packStatfs(1n, { blockSize: 4096, total: 1, free: 1, files: 1, filesFree: 1, nameMax: 255 }),
      packInit(1n, {
        minor: 31,
        maxReadahead: 0,
        flags: 0,
        flags2: 0,
        maxBackground: 1,
        congestionThreshold: 1,
        maxWrite: 4096,
        maxPages: 1,
      }),
    ].map((reply) => [reply.length - 16, reply.readUInt32LE(0) - 16]);
    assert.deepEqual(
      sizes,
      [128, 104, 16, 8, 8, 80, 64].map((size) => [size, size]),
    );
  });

  it('places attributes as struct fuse_attr has them', () => {
    const reply = packAttributes(1n, 2 ** 33 + 2, {
      mode: 0o100600,
      nlink: 1,
      uid: 3,
      gid: 4,
      size: BIG,
      blocks: 2 ** 33,
      blockSize: 131072,
      modifiedAt: 1_700_000_000_250,
    });
    const attr = reply.subarray(32);
    assert.deepEqual(
      [0, 8, 16, 24, 32, 40].map((at) => Number(attr.readBigUInt64LE(at))),
      [2 ** 33 + 2, BIG, 2 ** 33, 1_700_000_000, 1_700_000_000, 1_700_000_000],
    );
    assert.deepEqual(
      [48, 52, 56, 60, 64, 68, 72, 76, 80].map((at) => attr.readUInt32LE(at)),
      [250_000_000, 250_000_000, 250_000_000, 0o100600, 1, 3, 4, 0, 131072],
    );
  });

  it('lists entries in 8-byte steps, as many as fit, each naming the next', () => {
    const entries = ['.', 'eight678', 'nine56789'].map((name, i) => ({
      name,
      nodeId: i + 1,
      isDirectory: i === 0,
    }));
    const all = packDirectory(1n, entries, 0, 4096);
    assert.equal(all.length, 16 + 32 + 32 + 40);
    assert.deepEqual([all.readUInt32LE(16 + 16), all.readUInt32LE(16 + 20)], [1, 4]);
    assert.equal(all.toString('utf8', 16 + 32 + 24, 16 + 32 + 32), 'eight678');
    assert.equal(Number(all.readBigUInt64LE(16 + 32 + 8)), 2);
    const some = packDirectory(1n, entries, 1, 71);
    assert.equal(some.length, 16 + 32);
    assert.equal(packDirectory(1n, entries, 3, 4096).length, 16);
  });
});

import assert from 'node:assert/strict';
import { ThinError } from '../../src/errors/thin-error.js';
import { BufferPool } from '../../src/fuse/buffer-pool.js';
import { KernelFilesystem } from '../../src/fuse/kernel-filesystem.js';
import { KernelInodes } from '../../src/fuse/kernel-inodes.js';
import { Opcode } from '../../src/fuse/kernel-protocol.js';
import { request } from '../support/fuse-request.js';
import { MemoryDirectory } from '../../src/testing/memory-image.js';

const MIB = 1024 ** 2;

function setUp({ directory = new MemoryDirectory(), survives = false } = {}) {
  const buffers = new BufferPool(MIB + 4096, 2);
  const faults: ThinError[] = [];
  const filesystem = new KernelFilesystem(directory, {
    maxIo: MIB,
    buffers,
    onFault: (error) => faults.push(error),
    survives,
  });
  const serve = async (...args: Parameters<typeof request>) => {
    const reply = await filesystem.serve(request(...args));
    assert.ok(reply);
    return { error: reply.readInt32LE(4), body: reply.subarray(16), reply };
  };
  const open = async (name: string) => {
    const { body } = await serve(Opcode.LOOKUP, {}, Buffer.from(`${name}\0`));
    const nodeId = Number(body.readBigUInt64LE(0));
    const opened = await serve(Opcode.OPEN, { nodeId }, words(2, 0));
    return { nodeId, handle: Number(opened.body.readBigUInt64LE(0)) };
  };
  return { directory, buffers, faults, filesystem, serve, open };
}

describe('KernelFilesystem', () => {
  it('answers INIT with what both sides know, and never with a newer minor than offered', async () => {
    const { serve } = setUp();
    const { body } = await serve(Opcode.INIT, {}, words(7, 27, 65536, 1 | (1 << 5) | (1 << 2)));
    assert.deepEqual([body.readUInt32LE(0), body.readUInt32LE(4)], [7, 27]);
    assert.equal(body.readUInt32LE(12), 1 | (1 << 5));
    assert.equal(body.readUInt32LE(20), MIB);
  });

  it('hands what the kernel knows to the next process, where the kernel can ask again', async () => {
    const { directory, serve, open, filesystem } = setUp({ survives: true });
    directory.add('a', MIB);
    assert.equal(filesystem.connectionState(), undefined, 'nothing was agreed so far');
    const { body } = await serve(Opcode.INIT, {}, words(7, 45, 65536, 1 << 30, 1 << 7));
    assert.equal(body.readUInt32LE(4), 39);
    assert.deepEqual([body.readUInt32LE(12), body.readUInt32LE(32)], [1 << 30, 1 << 7]);
    const { nodeId, handle } = await open('a');
    const state = filesystem.connectionState();
    assert.ok(state);
    const next = setUp({ directory, survives: true });
    next.filesystem.takeOver(state);
    assert.equal(next.filesystem.fileOf(nodeId), directory.lookup('a'));
    const read = await next.serve(Opcode.READ, { nodeId }, words(handle, 0, 0, 0, 4096, 0, 0, 0, 0, 0));
    assert.deepEqual([read.error, read.body.length], [0, 4096]);
    const other = await next.open('a');
    assert.equal(other.nodeId, nodeId);
    assert.notEqual(other.handle, handle);
    assert.equal(next.filesystem.openFiles, 2);
  });

  it('hands nothing over where the kernel cannot, and agrees on no more than it needs', async () => {
    for (const [survives, minor, flags2] of [
      [true, 38, 1 << 7],
      [true, 45, 0],
      [false, 45, 1 << 7],
    ] as const) {
      const { serve, filesystem } = setUp({ survives });
      const { body } = await serve(Opcode.INIT, {}, words(7, minor, 65536, 1 << 30, flags2));
      assert.deepEqual([body.readUInt32LE(4), body.readUInt32LE(12), body.readUInt32LE(32)], [31, 0, 0]);
      assert.equal(filesystem.connectionState(), undefined);
    }
  });

  it('answers what it does not serve with ENOSYS, changes of the folder with EPERM', async () => {
    const { serve } = setUp();
    assert.equal((await serve(9999)).error, -38);
    assert.equal((await serve(22)).error, -38);
    for (const opcode of [Opcode.CREATE, Opcode.UNLINK, Opcode.RENAME2])
      assert.equal((await serve(opcode)).error, -1);
  });

  it('answers nothing to FORGET and INTERRUPT', () => {
    const { filesystem } = setUp();
    assert.equal(filesystem.serve(request(Opcode.INTERRUPT, {}, new Uint8Array(8))), undefined);
    assert.equal(filesystem.serve(request(Opcode.FORGET, { nodeId: 9 }, new Uint8Array(8))), undefined);
  });

  it('answers at once where the image does, and builds replies in buffers that come back', async () => {
    const { directory, buffers, filesystem, open } = setUp();
    directory.add('a', MIB);
    const { handle } = await open('a');
    const read = request(Opcode.READ, {}, range(handle, 0, 4096));
    for (let i = 0; i < 5; i++) {
      const reply = filesystem.serve(read);
      assert.ok(Buffer.isBuffer(reply));
      assert.equal(reply.length, 16 + 4096);
      buffers.give(reply);
    }
    assert.ok(buffers.take() !== undefined && buffers.take() !== undefined);
    assert.ok(Buffer.isBuffer(filesystem.serve(read)), 'also when no buffer is left');
  });

  it('gives the buffer of a failed read back', async () => {
    const { directory, buffers, serve, open } = setUp();
    const image = directory.add('a', MIB);
    const { handle } = await open('a');
    for (const fail of [
      () => Promise.reject(new ThinError('no-space', 'full')),
      () => {
        throw new ThinError('no-space', 'full');
      },
    ]) {
      image.before = fail;
      for (let i = 0; i < 3; i++)
        assert.equal((await serve(Opcode.READ, {}, range(handle, 0, 512))).error, -28);
    }
    assert.ok(buffers.take() !== undefined && buffers.take() !== undefined);
  });

  it('reports bugs and answers EIO; forgotten nodes and closed handles are errors', async () => {
    const { directory, faults, serve, open } = setUp();
    const image = directory.add('a', MIB);
    const { handle, nodeId } = await open('a');
    image.before = () => {
      throw new TypeError('bug');
    };
    assert.equal((await serve(Opcode.READ, {}, range(handle, 0, 512))).error, -5);
    assert.equal(faults.length, 1);
    assert.equal((await serve(Opcode.READ, {}, range(99, 0, 512))).error, -108);
    await serve(Opcode.GETATTR, { nodeId });
    assert.equal((await serve(Opcode.GETATTR, { nodeId: 99 })).error, -2);
  });

  it('releases what is open when the connection ends', async () => {
    const { directory, filesystem, open } = setUp();
    directory.add('a', MIB);
    await open('a');
    assert.equal(directory.open.get('a'), 1);
    filesystem.close();
    assert.equal(directory.open.get('a'), 0);
  });
});

describe('KernelInodes', () => {
  it('keeps an id while the kernel knows it, and gives another image a new one', () => {
    const directory = new MemoryDirectory();
    directory.add('a', 512);
    const inodes = new KernelInodes(directory);
    const first = inodes.lookup('a');
    assert.equal(inodes.lookup('a'), first);
    directory.add('a', 1024);
    const second = inodes.lookup('a');
    assert.notEqual(second?.id, first?.id);
    inodes.forget(first?.id ?? 0, 1);
    assert.equal(inodes.get(first?.id ?? 0), first);
    inodes.forget(first?.id ?? 0, 1);
    assert.equal(inodes.get(first?.id ?? 0), undefined);
    assert.equal(inodes.idOf('a'), second?.id);
    inodes.forget(second?.id ?? 0, 1);
    assert.equal(inodes.size, 0);
    assert.equal(inodes.lookup('b'), undefined);
  });
});

describe('BufferPool', () => {
  it('lends each buffer once, and takes parts back', () => {
    const pool = new BufferPool(64, 1);
    const only = pool.take();
    assert.ok(only);
    assert.equal(pool.take(), undefined);
    pool.give(Buffer.alloc(64));
    assert.equal(pool.take(), undefined);
    pool.give(only.subarray(10, 20));
    assert.equal(pool.take()?.length, 64);
  });
});

function words(...values: number[]): Buffer {
  const body = Buffer.alloc(64);
  values.forEach((value, i) => body.writeUInt32LE(value, i * 4));
  return body;
}

function range(handle: number, offset: number, size: number): Buffer {
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(BigInt(handle), 0);
  body.writeBigUInt64LE(BigInt(offset), 8);
  body.writeUInt32LE(size, 16);
  return body;
}

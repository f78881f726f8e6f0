import assert from 'node:assert/strict';
import { DiskBlocks } from '../../src/legacy/disk-blocks.js';
import { METADATA_BLOCK } from '../../src/legacy/disk-block.js';
import type { DiskReader } from '../../src/legacy/disk-reader.js';
import { legacyDamage } from '../../src/legacy/legacy-damage.js';
import { randomOf } from '../support/hurt-metadata.js';

const BLOCKS = 300;

/** A disk of blocks that say which they are; `bad` ones cannot be read. */
class NumberedDisk implements DiskReader {
  readonly path = 'numbered';
  readonly size = BLOCKS * METADATA_BLOCK + 100;
  readonly bytes = Buffer.alloc(this.size);
  reads = 0;
  readonly #bad: ReadonlySet<number>;

  constructor(...bad: readonly number[]) {
    this.#bad = new Set(bad);
    for (let block = 0; block < BLOCKS; block++) this.bytes.writeUInt32LE(block, block * METADATA_BLOCK);
  }

  readSync(offset: number, length: number, into = Buffer.alloc(length)): Buffer {
    this.reads++;
    if (offset + length > this.size) throw legacyDamage('disk', 'it ends before');
    for (let at = offset; at < offset + length; at += METADATA_BLOCK)
      if (this.#bad.has(at / METADATA_BLOCK)) throw legacyDamage('disk', 'EIO');
    this.bytes.copy(into, 0, offset, offset + length);
    return into;
  }

  gaps(): readonly [] {
    return [];
  }

  places(): readonly [] {
    return [];
  }

  read(): Promise<void> {
    return Promise.resolve();
  }
}

function numberAt(blocks: DiskBlocks, block: number): number {
  return blocks.read(block).readUInt32LE(0);
}

describe('legacy: blocks of metadata on a disk', () => {
  it('are read many at a time in order, and are those that were asked for in any order', () => {
    const disk = new NumberedDisk();
    const blocks = new DiskBlocks(disk);
    assert.equal(blocks.blocks, BLOCKS);
    for (let block = 0; block < BLOCKS; block++) assert.equal(numberAt(blocks, block), block);
    assert.ok(disk.reads < BLOCKS / 10, `${disk.reads} reads`);
    const random = randomOf(3);
    let at = 0;
    for (let step = 0; step < 2000; step++) {
      at = random(3) === 0 ? random(BLOCKS) : (at + random(6)) % BLOCKS;
      assert.equal(numberAt(blocks, at), at);
    }
  });

  it('are lost one by one where one of them cannot be read', () => {
    const blocks = new DiskBlocks(new NumberedDisk(20, 21, 90));
    for (let block = 0; block < BLOCKS; block++)
      if ([20, 21, 90].includes(block)) assert.throws(() => blocks.read(block), { code: 'damaged' });
      else assert.equal(numberAt(blocks, block), block);
    assert.throws(() => blocks.read(BLOCKS), { code: 'damaged' });
  });

  it('are as they are now, where someone comes back to one', () => {
    const disk = new NumberedDisk();
    const blocks = new DiskBlocks(disk);
    for (let block = 0; block < 10; block++) numberAt(blocks, block);
    disk.bytes.writeUInt32LE(777, 5 * METADATA_BLOCK);
    assert.equal(numberAt(blocks, 5), 777);
    disk.bytes.writeUInt32LE(778, 9 * METADATA_BLOCK);
    assert.equal(numberAt(blocks, 9), 778);
  });
});

import type { BlockReader } from '../block-reader.js';
import { storedChecksum, wantedChecksum, type BlockKind } from '../disk-block.js';

/**
 * What thin-provisioning-tools say of something that they cannot go on with: the text of one of their
 * exceptions.
 */
export class ToolFault extends Error {
  override readonly name = 'ToolFault';
}

/** What the tools call a kind of block. */
const WORDS = {
  node: { bad: 'btree node', number: (block: number) => `btree node (block = ${block})` },
  bitmap: { bad: 'space map bitmap', number: (block: number) => `space map bitmap (block ${block})` },
  index: { bad: 'metadata index block', number: (block: number) => `metadata index block (block ${block})` },
} as const;

/** Metadata blocks as the tools read them, with the texts of version 0.9 where that fails. */
export class ToolBlocks {
  readonly #blocks: BlockReader;

  constructor(blocks: BlockReader) {
    this.#blocks = blocks;
  }

  get count(): number {
    return this.#blocks.blocks;
  }

  get path(): string {
    return this.#blocks.path;
  }

  /** @throws ToolFault: there is no such block */
  requireThere(block: number): void {
    if (block >= this.count) throw new ToolFault(`block out of bounds (${block} >= ${this.count})\n`);
  }

  /** In `into`, or a fresh buffer. @throws ToolFault: also where it is of another kind */
  read(kind: Exclude<BlockKind, 'superblock'>, block: number, into?: Buffer): Buffer {
    this.requireThere(block);
    const bytes = this.#blocks.read(block, into);
    if (storedChecksum(bytes) !== wantedChecksum(kind, bytes))
      throw new ToolFault(`bad checksum in ${WORDS[kind].bad} (block ${block})`);
    if (bytes.readUInt32LE(8) + bytes.readUInt32LE(12) * 2 ** 32 !== block)
      throw new ToolFault(`bad block nr in ${WORDS[kind].number(block)}`);
    return bytes;
  }

  /** @throws ToolFault */
  superblock(block: number): Buffer {
    this.requireThere(block);
    const bytes = this.#blocks.read(block);
    const wanted = wantedChecksum('superblock', bytes);
    if (storedChecksum(bytes) !== wanted) throw new ToolFault(`bad checksum in superblock, wanted ${wanted}`);
    return bytes;
  }

  /** Whether the file is text, and not metadata. */
  get isXml(): boolean {
    const start = this.#blocks.read(0).toString('latin1', 0, 16);
    return ['<superblock', '<?xml', '<!DOCTYPE'].some((word) => start.startsWith(word));
  }
}

import { open, stat } from 'node:fs/promises';
import { ThinError } from '../../errors/thin-error.js';
import { Discarder } from '../../host/discarder.js';
import { ChildProcessExec } from '../../host/exec.js';
import { writeAll } from '../../transfer/output-file.js';
import type { DiskReader } from '../disk-reader.js';
import { requireUnused } from '../in-use.js';
import { hasLvm } from '../lvm/has-lvm.js';
import type { OldPool, OldSource } from '../old-source.js';
import { requireData, withOldSource } from '../open-source.js';
import { SourceFile } from '../source-file.js';
import { requireOther, restoreText } from './restore-metadata.js';
import { moveData, shrunkDump } from './shrink.js';
import { planShrink } from './shrink-plan.js';
import { dataUse } from './used-blocks.js';

/** Two files, or disks of LVM and the pool on them. */
export interface WholePoolRequest {
  readonly metadata: readonly string[];
  readonly data?: string | undefined;
  readonly pool?: string | undefined;
  readonly onNote: (text: string) => void;
}

/**
 * Discards what the pool's data has free. Returns the bytes, and in how many ranges they lay. Errors: busy
 * (device mapper has the pool open), invalid-argument (which pool, or which data), damaged (a disk is
 * missing, or the metadata is not sound), missing-tool, tool-failed.
 */
export async function discardFree(
  request: WholePoolRequest,
): Promise<{ readonly bytes: number; readonly ranges: number }> {
  return withWholePool(request, async ({ pool, data }) => {
    const { blockSize } = pool.superblock;
    const ranges = new Map<string, { readonly offset: number; readonly length: number }[]>();
    let bytes = 0;
    let count = 0;
    for (const { begin, length } of dataUse(pool).free)
      for (const { path, ...range } of data.places(begin * blockSize, (begin + length) * blockSize)) {
        const before = ranges.get(path) ?? [];
        ranges.set(path, before);
        before.push(range);
        bytes += range.length;
        count++;
      }
    const discarder = new Discarder(new ChildProcessExec());
    for (const [path, own] of ranges) await discarder.discard(path, own);
    return { bytes, ranges: count };
  });
}

export interface ShrinkRequest {
  readonly metadata: string;
  readonly data: string;
  /** Bytes that the data is to have at most. */
  readonly size: number;
  /** Where the new metadata goes. */
  readonly output: string;
  readonly onNote: (text: string) => void;
}

export interface Shrunk {
  /** Bytes and blocks that the data needs with the new metadata. */
  readonly size: number;
  readonly blocks: number;
  /** Bytes. */
  readonly moved: number;
}

/**
 * Moves what lies behind `size` into what is free before, and writes metadata that says so. The old metadata
 * stays true. Errors: as `discardFree`; too-large (more is used), unsupported (on disks of LVM),
 * invalid-argument (`size`, or `output` is what is read), check-failed, io, no-space.
 */
export async function shrinkData(
  { metadata, data, size, output, onNote }: ShrinkRequest,
  signal: AbortSignal,
): Promise<Shrunk> {
  await requireOther(output, [metadata, data]);
  requireNoLvm([metadata, data]);
  return withWholePool({ metadata: [metadata], data, onNote }, async ({ pool, data: reader }) => {
    const { blockSize } = pool.superblock;
    const blocks = Math.floor(size / blockSize);
    if (blocks === 0 || blocks > pool.dataBlocks)
      throw new ThinError(
        'invalid-argument',
        `--size ${size}: the data has ${pool.dataBlocks * blockSize} bytes in blocks of ${blockSize}; give a smaller size`,
      );
    const moves = planShrink(dataUse(pool), blocks);
    const target = await open(data, 'r+');
    try {
      const write = (offset: number, bytes: Uint8Array): Promise<void> => writeAll(target, offset, bytes);
      await moveData(reader, moves, { blockSize, write, signal });
      await target.sync();
    } finally {
      await target.close();
    }
    const { size: bytes } = await stat(metadata);
    await restoreText(shrunkDump(pool, moves, blocks), output, () => atLeast(output, bytes));
    const moved = moves.reduce((sum, { length }) => sum + length, 0) * blockSize;
    return { size: blocks * blockSize, blocks, moved };
  });
}

/** A file that is not there yet is made, and given its size. */
async function atLeast(output: string, bytes: number): Promise<void> {
  const handle = await open(output, 'a', 0o600);
  try {
    const found = await handle.stat();
    if (found.isFile() && found.size < bytes) await handle.truncate(bytes);
  } finally {
    await handle.close();
  }
}

async function withWholePool<T>(
  { metadata, data, pool: name, onNote }: WholePoolRequest,
  work: (pool: OldPool & { readonly data: DiskReader }) => Promise<T>,
): Promise<T> {
  for (const file of data === undefined ? metadata : [...metadata, data]) await requireUnused(file);
  const place =
    data === undefined ? { paths: metadata, metadata: undefined } : { paths: [], metadata: metadata[0] };
  const request = { ...place, data, heldRoot: false, search: false, overrides: {}, onNote };
  return withOldSource(request, async ({ pools, broken }) => {
    const pool = onlyPool(pools, broken, name);
    const reader = requireData(pool);
    const [gap] = reader.gaps(0, pool.pool.dataBlocks * pool.pool.superblock.blockSize);
    if (gap !== undefined) throw new ThinError('damaged', `${reader.path} is not whole: ${gap.problem}`);
    return work({ ...pool, data: reader });
  });
}

function onlyPool(pools: readonly OldPool[], broken: OldSource['broken'], name: string | undefined): OldPool {
  const found = pools.filter(({ path }) => name === undefined || path === name || path.endsWith(`/${name}`));
  const [only, ...others] = found;
  if (only === undefined && broken[0] !== undefined && name === undefined) throw broken[0].error;
  if (only === undefined)
    throw new ThinError(
      'not-found',
      `no thin pool ${name ?? ''} is there that can be read; there are ${pools.map(({ path }) => path).join(', ') || 'none'}`,
    );
  if (others.length > 0)
    throw new ThinError(
      'invalid-argument',
      `several thin pools are there (${found.map(({ path }) => path).join(', ')}); name one with --pool`,
    );
  return only;
}

/** @throws ThinError unsupported: on disks of LVM, data cannot become smaller */
function requireNoLvm(paths: readonly string[]): void {
  for (const path of paths) {
    const file = new SourceFile(path, 'the pool');
    try {
      if (hasLvm(file))
        throw new ThinError(
          'unsupported',
          `${path} is a disk of LVM, and LVM has no way to make the data of a thin pool smaller (lvreduce refuses it, too); bring its devices into a smaller pool: thinfuse legacy import ${path} --all, then export --format lvm`,
        );
    } finally {
      file.close();
    }
  }
}

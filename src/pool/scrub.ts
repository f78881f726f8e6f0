import { read as readCallback } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { toThinError, ThinError } from '../errors/thin-error.js';
import { damage } from '../format/damage.js';
import { chunkId } from '../format/ids.js';
import { chunkKey, describeKey } from '../format/keys.js';
import type { NodeLimits } from '../format/node.js';
import type { Superblock } from '../format/superblock.js';
import { runCheck, type Finding } from '../metadata/check.js';
import type { SparseCounts } from '../metadata/sparse-counts.js';
import { applyPatchOf, dataOf } from '../store/chunk-values.js';
import type { FileChunksOptions } from '../store/file-chunks.js';
import type { KvReader } from '../store/key-value.js';
import { pageSize } from '../store/pages.js';

const read = promisify(readCallback);

export type ScrubStep =
  /** Bytes of chunks. */
  | { readonly kind: 'progress'; readonly done: number; readonly total: number }
  | { readonly kind: 'finding'; readonly finding: Finding }
  | { readonly kind: 'end'; readonly chunks: number; readonly nodes: number; readonly devices: number };

export interface ScrubOptions {
  readonly limits?: NodeLimits | undefined;
  /**
   * Of a `direct` pool, whose chunks carry no seal: whether they can be read is all that can be found out.
   */
  readonly data?: Pick<FileChunksOptions, 'handle' | 'start'> | undefined;
  /** See `KeyValue`. */
  readonly damagedFiles?: (() => AsyncIterable<ThinError>) | undefined;
  /** Told of each chunk that is lost, and of metadata that is, before it is told as a finding. */
  readonly onDamage?: ((error: ThinError) => void | Promise<void>) | undefined;
}

/** Chunks in flight: a disk's queue, and little memory. */
const AT_ONCE = 8;

/**
 * Reads all that a pool holds, metadata (`checkPool`) and then every chunk that a device or a metadata
 * snapshot maps, and verifies what can be verified. Changes nothing. `reader` does not change meanwhile.
 */
export async function* scrub(reader: KvReader, options: ScrubOptions): AsyncGenerator<ScrubStep> {
  for await (const error of options.damagedFiles?.() ?? []) {
    await options.onDamage?.(error);
    yield { kind: 'finding', finding: fileFinding(error) };
  }
  const check = await runCheck(reader, { limits: options.limits });
  const { findings, nodes, devices } = check.result();
  for (const finding of findings) {
    if (finding.fatal) await options.onDamage?.(damage(finding.path, finding.problem));
    yield { kind: 'finding', finding };
  }
  const { superblock } = check;
  const { chunks } = check.references;
  if (superblock !== undefined) yield* scrubChunks(reader, superblock, chunks, options);
  yield { kind: 'end', chunks: chunks.size, nodes, devices };
}

export function fileFinding({ message }: ThinError): Finding {
  return { path: 'files', problem: message, fatal: true, repairable: false };
}

async function* scrubChunks(
  reader: KvReader,
  { kind, blockSize }: Superblock,
  chunks: SparseCounts,
  { data, onDamage }: ScrubOptions,
): AsyncGenerator<ScrubStep> {
  const read = kind === 'direct' ? dataReader(data, blockSize) : sealReader(reader, blockSize);
  const total = chunks.size * blockSize;
  let done = 0;
  for (const some of groupsOf(chunks.keys(), AT_ONCE)) {
    yield { kind: 'progress', done, total };
    done += some.length * blockSize;
    for (const error of await Promise.all(some.map(read))) {
      if (error === undefined) continue;
      await onDamage?.(error);
      const path = String(error.details['path']);
      yield { kind: 'finding', finding: { path, problem: error.message, fatal: true, repairable: false } };
    }
    await nextTurn();
  }
  yield { kind: 'progress', done: total, total };
}

function* groupsOf(numbers: Iterable<number>, most: number): Generator<number[]> {
  let group: number[] = [];
  for (const number of numbers) {
    group.push(number);
    if (group.length < most) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

type ChunkReader = (chunk: number) => Promise<ThinError | undefined>;

/** The check has reported missing chunks. A partial chunk has only its patch. */
function sealReader(reader: KvReader, blockSize: number): ChunkReader {
  return async (chunk) => {
    const id = chunkId(chunk);
    try {
      const frame = await reader.get(chunkKey(id));
      const into = frame === undefined ? new Uint8Array(blockSize) : await dataOf(frame, id, blockSize);
      await applyPatchOf(reader, id, into, pageSize(blockSize));
      return undefined;
    } catch (error) {
      const { code, message, details } = toThinError(error);
      return new ThinError(code, message, { details: { path: describeKey(chunkKey(id)), ...details } });
    }
  };
}

function dataReader(data: ScrubOptions['data'], blockSize: number): ChunkReader {
  return async (chunk) => {
    const path = `chunk ${chunk}`;
    if (data === undefined) return damage(path, 'the data of the pool cannot be opened');
    const { handle, start = 0 } = data;
    const into = new Uint8Array(blockSize);
    try {
      const { bytesRead } = await read(handle.fd, into, 0, blockSize, start + chunk * blockSize);
      return bytesRead === blockSize ? undefined : damage(path, 'it lies beyond the end of the data');
    } catch (error) {
      return damage(path, `its data cannot be read (${toThinError(error).message})`);
    }
  };
}

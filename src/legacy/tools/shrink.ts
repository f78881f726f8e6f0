import { DUMP_WORDS, runLine } from '../../thin-tools/dump-words.js';
import { dumpedDevice } from '../device-details.js';
import { timedRuns } from '../mappings.js';
import type { LegacyPool } from '../legacy-pool.js';
import type { DataReader } from '../block-reader.js';
import { MovedBlocks, type BlockMove } from './shrink-plan.js';

/** Bytes that are copied at a time. */
const PIECE = 4 * 2 ** 20;
const TEXT = 256 * 1024;
const WORDS = DUMP_WORDS.xml;

/** The pool as thin_dump has it, after the moves and with as many blocks of data; in pieces of text. */
export function* shrunkDump(
  pool: LegacyPool,
  moves: readonly BlockMove[],
  dataBlocks: number,
): Generator<string> {
  const { superblock } = pool;
  const moved = new MovedBlocks(moves);
  let text = WORDS.begin({ ...superblock, transaction: superblock.transactionId, dataBlocks });
  for (const { id, details, tree } of pool.devices) {
    if (details === undefined || tree === undefined) continue;
    text += WORDS.beginDevice(dumpedDevice(id, details));
    let open: { begin: number; chunk: number; length: number; time: number } | undefined;
    const line = (): string => (open === undefined ? '' : runLine(WORDS, open));
    for (const run of timedRuns(tree, { dataBlocks: pool.dataBlocks })) {
      let { begin } = run;
      for (const { data: chunk, length } of moved.pieces(run.data, run.length)) {
        if (
          open?.time === run.time &&
          open.begin + open.length === begin &&
          open.chunk + open.length === chunk
        )
          open.length += length;
        else {
          text += line();
          open = { begin, chunk, length, time: run.time };
        }
        begin += length;
      }
      if (text.length < TEXT) continue;
      yield text;
      text = '';
    }
    text += line() + WORDS.endDevice;
  }
  yield text + WORDS.end;
}

/** Copies what moves. What it is copied over is free, so that the metadata of before stays true. */
export async function moveData(
  data: DataReader,
  moves: readonly BlockMove[],
  {
    blockSize,
    write,
    signal,
  }: {
    readonly blockSize: number;
    readonly write: (offset: number, bytes: Uint8Array) => Promise<void>;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  for (const { from, to, length } of moves)
    for (let done = 0; done < length * blockSize; done += PIECE) {
      signal.throwIfAborted();
      const bytes = Buffer.alloc(Math.min(PIECE, length * blockSize - done));
      await data.read(from * blockSize + done, bytes);
      await write(to * blockSize + done, bytes);
    }
}

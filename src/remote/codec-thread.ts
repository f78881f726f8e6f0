import { parentPort, workerData } from 'node:worker_threads';
import { isZero } from '../format/is-zero.js';
import { IMAGE_BLOCK } from '../format/remote-image.js';
import { BlockCodec } from './block-codec.js';
import { BlockSeal } from './block-seal.js';
import type { CodecAnswer, CodecTask, CodecThreadData } from './codec-protocol.js';
import { digestOf } from './digest.js';
import { toThinError } from '../errors/thin-error.js';

const { key } = workerData as CodecThreadData;
const codec = new BlockCodec(new BlockSeal(key));
await BlockCodec.ready();

function run(task: CodecTask): { readonly answer: CodecAnswer; readonly moved: readonly ArrayBuffer[] } {
  switch (task.kind) {
    case 'name': {
      const names = blocksOf(task.bytes).map((block) => (isZero(block) ? undefined : codec.nameOf(block)));
      return { answer: { names, bytes: task.bytes }, moved: [bufferOf(task.bytes)] };
    }
    case 'encode': {
      const blocks = blocksOf(task.bytes);
      const stored = task.blocks.map(({ at, name }) => codec.encode(blocks[at]!, name));
      return { answer: { stored }, moved: [] };
    }
    case 'decode': {
      const bytes = new Uint8Array(task.blocks.length * IMAGE_BLOCK);
      for (const [index, { stored, name, path }] of task.blocks.entries())
        bytes.set(codec.decode(stored, name, path), index * IMAGE_BLOCK);
      return { answer: { bytes }, moved: [bytes.buffer] };
    }
    case 'digest':
      return { answer: { digest: digestOf(task.bytes), bytes: task.bytes }, moved: [bufferOf(task.bytes)] };
  }
}

function blocksOf(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: bytes.length / IMAGE_BLOCK }, (_, at) =>
    bytes.subarray(at * IMAGE_BLOCK, (at + 1) * IMAGE_BLOCK),
  );
}

/** Whole buffers are moved to the other thread and not copied. */
function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return bytes.buffer as ArrayBuffer;
}

parentPort?.on('message', (task: CodecTask) => {
  try {
    const { answer, moved } = run(task);
    parentPort?.postMessage({ answer }, [...moved]);
  } catch (error) {
    const { code, message } = toThinError(error);
    parentPort?.postMessage({ failure: { code, message } });
  }
});

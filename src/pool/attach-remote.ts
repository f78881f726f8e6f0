import { setImmediate as nextTurn } from 'node:timers/promises';
import { ThinError } from '../errors/thin-error.js';
import { chunkId, virtualBlock, type DeviceId } from '../format/ids.js';
import { IMAGE_BLOCK, type RemoteImage } from '../format/remote-image.js';
import type { PoolState } from './pool-state.js';

/** Chunks that are mapped before others get their turn, and those that one commit takes. */
const STEP = 512;
const COMMIT = 8192;

/**
 * Maps a chunk for all that the image has, each of them remote. The device is empty, and nobody has it
 * active; where this rejects, it is for the caller to remove.
 * @param blocks numbers of the image's blocks, ascending
 * @returns the image's number, and chunks
 * Errors: no-space, invalid-argument (the image has blocks behind the device's end), those of `blocks`.
 */
export async function attachRemote(
  state: PoolState,
  device: DeviceId,
  image: Omit<RemoteImage, 'family' | 'isHydrating'>,
  blocks: AsyncIterable<Uint32Array>,
): Promise<{ readonly image: number; readonly chunks: number }> {
  const { metadata } = state;
  const { family, size } = metadata.devices.get(device);
  const id = metadata.remote.addImage({ ...image, family, isHydrating: false });
  const blocksEach = metadata.superblock.blockSize / IMAGE_BLOCK;
  const end = Math.ceil(size / metadata.superblock.blockSize);
  let [mapped, last] = [0, -1];
  try {
    for await (const some of blocks)
      for (const number of some) {
        const block = Math.floor(number / blocksEach);
        if (block === last) continue;
        if (block >= end) throw new ThinError('invalid-argument', 'the image has blocks behind its end');
        last = block;
        mapOne(state, device, block, { image: id, block: block * blocksEach });
        if (++mapped % COMMIT === 0) await state.commit();
        else if (mapped % STEP === 0) await nextTurn();
      }
  } finally {
    metadata.remote.releaseImage(id);
  }
  return { image: id, chunks: mapped };
}

function mapOne(
  state: PoolState,
  device: DeviceId,
  block: number,
  entry: { readonly image: number; readonly block: number },
): void {
  const { metadata, plane } = state;
  state.requireWritable();
  if (!metadata.devices.has(device)) throw new ThinError('not-found', 'the device was removed meanwhile');
  const taken = plane.mayMap(1) ? metadata.chunks.take() : undefined;
  if (taken === undefined)
    throw new ThinError(
      'no-space',
      'the pool has no room for the image; extend it with thinfuse extend, or remove devices',
    );
  const chunk = chunkId(taken);
  // Whether it holds zeroes is for whoever has it next.
  plane.chunks.takeZeroed(chunk);
  plane.chunks.makeRemote(chunk);
  metadata.remote.set(chunk, entry);
  metadata.map(device, virtualBlock(block), chunk);
}

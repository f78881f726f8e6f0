import { setImmediate as nextTurn } from 'node:timers/promises';
import { ThinError } from '../errors/thin-error.js';
import { chunkId, virtualBlock, type DeviceId } from '../format/ids.js';
import { IMAGE_BLOCK, type RemoteImage } from '../format/remote-image.js';
import type { PoolState } from './pool-state.js';
import type { ImagePieces } from './remote-source.js';

/** Chunks that are mapped before others get their turn, and those that one commit takes. */
const STEP = 512;
const COMMIT = 8192;

/**
 * Maps a chunk for all that the image has, each of them remote. The device is not active; if this rejects,
 * the caller removes it.
 * @param pieces what the image has otherwise than the device, which is empty or a snapshot
 * @returns the image's number, and chunks
 * Errors: no-space, invalid-argument (the image has blocks behind the device's end), those of `pieces`.
 */
export async function attachRemote(
  state: PoolState,
  device: DeviceId,
  image: Omit<RemoteImage, 'family' | 'isHydrating'>,
  pieces: AsyncIterable<ImagePieces>,
): Promise<{ readonly image: number; readonly chunks: number }> {
  const { metadata } = state;
  const { family, size } = metadata.devices.get(device);
  const id = metadata.remote.addImage({ ...image, family, isHydrating: false });
  const blocksEach = metadata.superblock.blockSize / IMAGE_BLOCK;
  const end = Math.ceil(size / metadata.superblock.blockSize);
  let [mapped, done] = [0, 0];
  const step = async (): Promise<void> => {
    if (++done % COMMIT === 0) await state.commit();
    else if (done % STEP === 0) await nextTurn();
  };
  try {
    for await (const { changed, gone } of pieces) {
      for (const block of changed) {
        if (block >= end) throw new ThinError('invalid-argument', 'the image has blocks behind its end');
        mapOne(state, device, block, { image: id, block: block * blocksEach });
        mapped++;
        await step();
      }
      for (const block of gone) {
        unmapOne(state, device, block);
        await step();
      }
    }
  } finally {
    metadata.remote.releaseImage(id);
  }
  return { image: id, chunks: mapped };
}

function unmapOne(state: PoolState, device: DeviceId, block: number): void {
  const { metadata, plane } = state;
  requireThere(state, device);
  if (!plane.mayMap(1)) throw noRoom();
  metadata.unmap(device, virtualBlock(block));
}

function mapOne(
  state: PoolState,
  device: DeviceId,
  block: number,
  entry: { readonly image: number; readonly block: number },
): void {
  const { metadata, plane } = state;
  requireThere(state, device);
  const taken = plane.mayMap(1) ? metadata.chunks.take() : undefined;
  if (taken === undefined) throw noRoom();
  const chunk = chunkId(taken);
  // Its next owner must not take it for zeroes.
  plane.chunks.takeZeroed(chunk);
  plane.chunks.makeRemote(chunk);
  metadata.remote.set(chunk, entry);
  metadata.map(device, virtualBlock(block), chunk);
}

function requireThere(state: PoolState, device: DeviceId): void {
  state.requireWritable();
  if (!state.metadata.devices.has(device))
    throw new ThinError('not-found', 'the device was removed meanwhile');
}

function noRoom(): ThinError {
  return new ThinError(
    'no-space',
    'the pool has no room for the image; extend it with thinfuse extend, or remove devices',
  );
}

import { deltaRanges } from '../thin-tools/delta-ranges.js';
import { framedChanges, type Change } from './changes.js';
import { ContentDigest } from './content-digest.js';
import type { PoolAccess } from './pool-access.js';
import { runChanges } from './run-changes.js';
import type { StillDevice, StoredDevice } from './still-device.js';

/** Of all that a device holds below `size`, which is read for it. Errors: damaged, closed. */
export async function digestOf(
  still: StillDevice,
  {
    size,
    blockSize,
    signal,
  }: { readonly size: number; readonly blockSize: number; readonly signal: AbortSignal | undefined },
): Promise<string> {
  const digest = new ContentDigest();
  for await (const { begin, end } of framedChanges(mapped(still, blockSize), size)) {
    signal?.throwIfAborted();
    const bytes = Buffer.allocUnsafe(end - begin);
    await still.read(begin, bytes);
    digest.add(begin, bytes);
  }
  return digest.end(size);
}

/** All that a device maps. */
export async function* mapped(still: StillDevice, blockSize: number): AsyncGenerator<Change> {
  for await (const { begin, length } of still.runs())
    yield { kind: 'data', begin: begin * blockSize, end: (begin + length) * blockSize };
}

/**
 * Where `right` differs from `left`, ascending, as their mapping trees say it: what both share is not looked
 * at.
 */
export async function* changed(
  access: PoolAccess,
  left: StillDevice | StoredDevice,
  right: StillDevice,
  blockSize: number,
): AsyncGenerator<Change> {
  // The store may be behind a device that is read itself.
  if (left.isItself || right.isItself) {
    for await (const { kind, begin, length } of runChanges(left.runs(), right.runs()))
      yield { kind, begin: begin * blockSize, end: (begin + length) * blockSize };
    return;
  }
  const compared = { left: left.name, right: right.name };
  const text = access.text('metadata.delta', { ...compared, format: 'json', changesOnly: true });
  for await (const { kind, begin, length } of deltaRanges(text))
    if (kind !== 'same')
      yield {
        kind: kind === 'left_only' ? 'gone' : 'data',
        begin: begin * blockSize,
        end: (begin + length) * blockSize,
      };
}

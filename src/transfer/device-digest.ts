import { deltaRanges } from '../thin-tools/delta-ranges.js';
import { framedChanges, type Change } from './changes.js';
import { ContentDigest } from './content-digest.js';
import type { PoolAccess } from './pool-access.js';
import type { StillDevice } from './still-device.js';

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
  left: string,
  right: string,
  blockSize: number,
): AsyncGenerator<Change> {
  const text = access.text('metadata.delta', { left, right, format: 'json', changesOnly: true });
  for await (const { kind, begin, length } of deltaRanges(text))
    if (kind !== 'same')
      yield {
        kind: kind === 'left_only' ? 'gone' : 'data',
        begin: begin * blockSize,
        end: (begin + length) * blockSize,
      };
}

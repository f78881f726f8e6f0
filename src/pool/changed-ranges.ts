import { ThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import { delta } from '../metadata/delta.js';
import { deviceIn } from '../metadata/metadata-view.js';
import type { FrozenMetadata } from './pool-tools.js';
import { nextTurn } from './usage-counter.js';

/** Bytes of a device from `begin` to before `end`. */
export interface ByteRange {
  readonly begin: number;
  readonly end: number;
}

/** Between two turns of others. */
const STEPS_PER_TURN = 500;
/** More would be larger than what a comparison of all files reads. */
const MOST = 2 ** 20;

/**
 * Where two devices may have different bytes, ascending, as their mapping trees say it: what both share is
 * not looked at.
 * @throws ThinError not-found, damaged, too-large (very many)
 */
export async function changedRanges(
  metadata: FrozenMetadata,
  left: DeviceName,
  right: DeviceName,
): Promise<readonly ByteRange[]> {
  const view = await metadata.view();
  const { blockSize } = view.superblock;
  const ranges: { begin: number; end: number }[] = [];
  const trees = [deviceIn(view, left).root, deviceIn(view, right).root] as const;
  let steps = 0;
  for await (const { kind, begin, length } of delta(view.nodes, ...trees, { changesOnly: true })) {
    if (++steps % STEPS_PER_TURN === 0) await nextTurn();
    if (kind === 'same') continue;
    const last = ranges.at(-1);
    const range = { begin: begin * blockSize, end: (begin + length) * blockSize };
    if (last?.end === range.begin) last.end = range.end;
    else ranges.push(range);
    if (ranges.length > MOST)
      throw new ThinError('too-large', `${left} and ${right} differ at more than ${MOST} places`);
  }
  return ranges;
}

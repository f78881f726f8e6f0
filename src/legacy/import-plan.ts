import type { FilesystemType } from '../config/pool-options.js';
import type { ImageFile } from '../io/image-file.js';
import type { OriginImage } from './device-image.js';
import { resemblance, type DeviceSummary } from './device-summary.js';
import type { LegacyDevice } from './legacy-pool.js';
import type { LegacyTree } from './legacy-tree.js';
import { treeChanges } from './tree-changes.js';

/**
 * Devices whose trees are compared block by block with a new one's; where there are more, a sketch has chosen
 * them.
 */
export const CANDIDATES = 16;

export interface PlanDevice {
  readonly device: LegacyDevice & { readonly tree: LegacyTree };
  readonly summary: DeviceSummary;
  /** Bytes. */
  readonly size: number;
  /** What was found on it. */
  readonly filesystem: FilesystemType | undefined;
  /** The device that others say it is a snapshot of, such as Docker. */
  readonly hint: number | undefined;
  /** Reads it as a device, where its data alone is not what it shows. */
  readonly image?: Pick<ImageFile, 'read'>;
  /**
   * What it shows where it maps nothing, and its name: only devices over one and the same are made of one
   * another.
   */
  readonly below?: { readonly name: string; readonly image: OriginImage } | undefined;
}

/** How a device comes to be in the new pool: empty or as a snapshot, and then what is to be written. */
export interface PlanStep {
  readonly planned: PlanDevice;
  readonly origin: PlanDevice | undefined;
  /** Blocks that differ from the origin's. */
  readonly blocks: number;
}

/**
 * Devices that were written last come last; of two that are as old, the one that was made first comes first.
 */
const BY_LAST_WRITE: DeviceOrder = (a, b) =>
  a.summary.lastWritten - b.summary.lastWritten || createdAt(a) - createdAt(b) || a.device.id - b.device.id;

/**
 * The same, but a device is no older than itself, whatever it discarded of what it wrote: an origin that
 * others start from comes first.
 */
const BY_LAST_CHANGE: DeviceOrder = (a, b) =>
  lastChange(a) - lastChange(b) || createdAt(b) - createdAt(a) || a.device.id - b.device.id;

/**
 * In which order devices are made, and of what, so that what they share stays shared.
 *
 * dm-thin does not record what a device is a snapshot of. But blocks are shared through snapshots only, so a
 * device that shares much with one made before is made as its snapshot. The order is that of the last write:
 * a snapshot without writes comes before its changed origin, and an image before its containers. So the
 * import writes again only what no other device has. Where devices discarded what they wrote last, the order
 * of the last change may be better: the plan that writes less is taken. What devices share through an origin
 * that is gone or that discarded it, when each of them changed other parts, may be written twice.
 */
export function planImport(devices: readonly PlanDevice[], dataBlocks: number): readonly PlanStep[] {
  const first = planInOrder([...devices].sort(BY_LAST_WRITE), dataBlocks);
  const second = planInOrder([...devices].sort(BY_LAST_CHANGE), dataBlocks);
  return written(second) < written(first) ? second : first;
}

function planInOrder(ordered: readonly PlanDevice[], dataBlocks: number): readonly PlanStep[] {
  return ordered.map((planned, index) => planStep(planned, ordered.slice(0, index), dataBlocks));
}

type DeviceOrder = (a: PlanDevice, b: PlanDevice) => number;

const written = (plan: readonly PlanStep[]): number => plan.reduce((sum, { blocks }) => sum + blocks, 0);

function createdAt({ device }: PlanDevice): number {
  return device.details?.creationTime ?? 0;
}

function lastChange(one: PlanDevice): number {
  return Math.max(one.summary.lastWritten, createdAt(one));
}

function planStep(planned: PlanDevice, earlier: readonly PlanDevice[], dataBlocks: number): PlanStep {
  let best: PlanStep = { planned, origin: undefined, blocks: planned.summary.mapped };
  let unmapped = 0;
  for (const origin of candidates(planned, earlier)) {
    const cost = costOf(origin, planned, dataBlocks, best.blocks);
    if (
      cost.written > best.blocks ||
      (cost.written === best.blocks && (best.origin === undefined || cost.unmapped >= unmapped))
    )
      continue;
    best = { planned, origin, blocks: cost.written };
    unmapped = cost.unmapped;
  }
  return best;
}

function candidates(planned: PlanDevice, before: readonly PlanDevice[]): readonly PlanDevice[] {
  const earlier = before.filter(({ below }) => below?.name === planned.below?.name);
  const alike = earlier
    .map((origin) => ({ origin, score: resemblance(planned.summary, origin.summary) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, CANDIDATES)
    .map(({ origin }) => origin);
  const hinted = earlier.find(({ device }) => device.id === planned.hint);
  // First, so that it is the one where others are only as good.
  return hinted === undefined ? alike : [hinted, ...alike.filter((origin) => origin !== hinted)];
}

/** Counts no further than `most` blocks to write. */
function costOf(
  origin: PlanDevice,
  planned: PlanDevice,
  dataBlocks: number,
  most: number,
): { written: number; unmapped: number } {
  let written = 0;
  let unmapped = 0;
  for (const change of changesBetween(origin, planned, dataBlocks)) {
    if (change.kind === 'write') written += change.length;
    else unmapped += change.length;
    if (written > most) break;
  }
  return { written, unmapped };
}

/** What makes `planned` of `origin`, or of nothing. What is lost in either counts as not mapped. */
export function changesBetween(
  origin: PlanDevice | undefined,
  planned: PlanDevice,
  dataBlocks: number,
): ReturnType<typeof treeChanges> {
  return treeChanges(origin?.device.tree, planned.device.tree, {
    dataBlocks,
    onLost: () => undefined,
    sound: planned.summary.lost.length === 0 && (origin?.summary.lost.length ?? 0) === 0,
  });
}
